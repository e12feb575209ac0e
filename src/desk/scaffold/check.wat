;; {{name}}: the text has at least five words. No params.
;;
;; The contract is graders/wit/check.wit. Work is counted in fuel; there is nothing to import.
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
    (data (i32.const 1024) "fewer than five words")
    (data (i32.const 1056) "five words or more")

    ;; A bump allocator: one call, one instance, nothing is ever given back.
    (global $next (mut i32) (i32.const 8192))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.div_u (local.get $len) (i32.const 65536)) (i32.const 1)))))
      (local.get $at))

    ;; The answer: result at 0, verdict at 8 (pass), score at 16, reason at 24, no notes.
    (func $answer (param $pass i32) (param $score f64) (param $reason i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 8) (local.get $pass))
      (f64.store (i32.const 16) (local.get $score))
      (i32.store (i32.const 24) (local.get $reason))
      (i32.store (i32.const 28) (local.get $len))
      (i32.const 0))

    ;; The text handed in: its address is at 52 of the call, its length in bytes at 56.
    (func (export "grade") (param $call i32) (result i32)
      (local $at i32) (local $stop i32) (local $words i32) (local $in-word i32)
      (local.set $at (i32.load offset=52 (local.get $call)))
      (local.set $stop (i32.add (local.get $at) (i32.load offset=56 (local.get $call))))
      (block $end
        (loop $next-byte
          (br_if $end (i32.ge_u (local.get $at) (local.get $stop)))
          (if (i32.le_u (i32.load8_u (local.get $at)) (i32.const 32))
            (then (local.set $in-word (i32.const 0)))
            (else
              (if (i32.eqz (local.get $in-word))
                (then (local.set $words (i32.add (local.get $words) (i32.const 1)))))
              (local.set $in-word (i32.const 1))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next-byte)))
      (if (result i32) (i32.lt_u (local.get $words) (i32.const 5))
        (then (call $answer (i32.const 0) (f64.const 0) (i32.const 1024) (i32.const 21)))
        (else (call $answer (i32.const 1) (f64.const 1) (i32.const 1056) (i32.const 18))))))
  (core instance $instance (instantiate $check))
  (func (export "grade") (param "s" $submission) (result (result $verdict (error string)))
    (canon lift
      (core func $instance "grade")
      (memory (core memory $instance "memory"))
      (realloc (core func $instance "realloc")))))
