;; no-placeholder: the output text holds no filler that somebody forgot to replace.
;;
;; Looks for `lorem ipsum`, `[insert`, `[your `, `todo:` and `tbd.` in any case. No params.
(component
  (type $types' (instance
    (type $role' (enum "output" "input"))
    (export "role" (type $role (eq $role')))
    (type $file' (record
      (field "name" string)
      (field "content-type" (option string))
      (field "size" u64)
      (field "sha256" string)
      (field "role" $role)
      (field "content" (option (list u8)))))
    (export "file" (type $file (eq $file')))
    (type $submission' (record
      (field "job-id" string)
      (field "attempt" u32)
      (field "title" string)
      (field "prompt" string)
      (field "description" (option string))
      (field "requirements" (option string))
      (field "output-text" string)
      (field "files" (list $file))
      (field "params" string)))
    (export "submission" (type $submission (eq $submission')))
    (type $verdict' (record
      (field "pass" bool)
      (field "score" float64)
      (field "reason" string)
      (field "notes" (list string))))
    (export "verdict" (type $verdict (eq $verdict')))))
  (import "assay:check/types@1.0.0" (instance $types (type $types')))
  (alias export $types "submission" (type $submission))
  (alias export $types "verdict" (type $verdict))

  (core module $check
    (memory (export "memory") 1)
    ;; Each filler: its length, then its bytes in lower case; a zero ends the list.
    (data (i32.const 1024) "\0blorem ipsum\07[insert\06[your \05todo:\04tbd.\00")
    (data (i32.const 1100) "the text still holds the placeholder `")
    (data (i32.const 1140) "`")
    (data (i32.const 1144) "no placeholder")

    ;; A bump allocator: one call, one instance, nothing is ever given back.
    (global $next (mut i32) (i32.const 8192))
    (func $realloc (export "realloc")
      (param $old i32) (param $old-len i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.div_u (local.get $len) (i32.const 65536)) (i32.const 1)))))
      (local.get $at))

    ;; The reason is put together at 4096.
    (global $end (mut i32) (i32.const 4096))
    (func $put (param $at i32) (param $len i32)
      (memory.copy (global.get $end) (local.get $at) (local.get $len))
      (global.set $end (i32.add (global.get $end) (local.get $len))))
    (func $put-number (param $n i32)
      (if (i32.ge_u (local.get $n) (i32.const 10))
        (then (call $put-number (i32.div_u (local.get $n) (i32.const 10)))))
      (i32.store8 (global.get $end) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (global.set $end (i32.add (global.get $end) (i32.const 1))))

    ;; The answer: result at 0, verdict at 8 (pass), score at 16, reason at 24, no notes.
    (func $answer (param $pass i32) (param $score f64) (result i32)
      (i32.store8 (i32.const 8) (local.get $pass))
      (f64.store (i32.const 16) (local.get $score))
      (i32.store (i32.const 24) (i32.const 4096))
      (i32.store (i32.const 28) (i32.sub (global.get $end) (i32.const 4096)))
      (i32.const 0))

    (func $lower (param $byte i32) (result i32)
      (if (result i32) (i32.lt_u (i32.sub (local.get $byte) (i32.const 65)) (i32.const 26))
        (then (i32.add (local.get $byte) (i32.const 32)))
        (else (local.get $byte))))

    ;; Whether the text from $at on begins with the filler.
    (func $begins (param $at i32) (param $stop i32) (param $filler i32) (param $len i32) (result i32)
      (local $i i32)
      (if (i32.gt_u (i32.add (local.get $at) (local.get $len)) (local.get $stop)) (then (return (i32.const 0))))
      (loop $compare
        (if (i32.ne
              (call $lower (i32.load8_u (i32.add (local.get $at) (local.get $i))))
              (i32.load8_u (i32.add (local.get $filler) (local.get $i))))
          (then (return (i32.const 0))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $compare (i32.lt_u (local.get $i) (local.get $len))))
      (i32.const 1))

    (func (export "grade") (param $call i32) (result i32)
      (local $at i32) (local $stop i32) (local $filler i32) (local $len i32)
      (local.set $at (i32.load offset=52 (local.get $call)))
      (local.set $stop (i32.add (local.get $at) (i32.load offset=56 (local.get $call))))
      (block $clean
        (loop $next-byte
          (br_if $clean (i32.ge_u (local.get $at) (local.get $stop)))
          (local.set $filler (i32.const 1024))
          (block $no-more
            (loop $next-filler
              (local.set $len (i32.load8_u (local.get $filler)))
              (br_if $no-more (i32.eqz (local.get $len)))
              (local.set $filler (i32.add (local.get $filler) (i32.const 1)))
              (if (call $begins (local.get $at) (local.get $stop) (local.get $filler) (local.get $len))
                (then
                  (call $put (i32.const 1100) (i32.const 38))
                  (call $put (local.get $filler) (local.get $len))
                  (call $put (i32.const 1140) (i32.const 1))
                  (return (call $answer (i32.const 0) (f64.const 0)))))
              (local.set $filler (i32.add (local.get $filler) (local.get $len)))
              (br $next-filler)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next-byte)))
      (call $put (i32.const 1144) (i32.const 14))
      (call $answer (i32.const 1) (f64.const 1))))
  (core instance $instance (instantiate $check))
  (func (export "grade") (param "s" $submission) (result (result $verdict (error string)))
    (canon lift
      (core func $instance "grade")
      (memory (core memory $instance "memory"))
      (realloc (core func $instance "realloc")))))
