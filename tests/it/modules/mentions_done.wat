;; A whole component in text form, its types imported as compilers write them: passes when the output
;; contains "done".
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
    (data (i32.const 1024) "the output says that it is donethe output does not say that it is done")
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $old-len i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.div_u (local.get $len) (i32.const 65536)) (i32.const 1)))))
      (local.get $at))

    (func $contains-done (param $at i32) (param $len i32) (result i32)
      (local $end i32)
      (if (i32.lt_u (local.get $len) (i32.const 4)) (then (return (i32.const 0))))
      (local.set $end (i32.add (local.get $at) (i32.sub (local.get $len) (i32.const 3))))
      (loop $next-byte
        ;; "done", little end first.
        (if (i32.eq (i32.load align=1 (local.get $at)) (i32.const 0x656e6f64)) (then (return (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next-byte (i32.lt_u (local.get $at) (local.get $end))))
      (i32.const 0))

    (func (export "grade") (param $call i32) (result i32)
      (local $done i32)
      (local.set $done (call $contains-done
        (i32.load offset=52 (local.get $call))
        (i32.load offset=56 (local.get $call))))
      ;; result at 0, verdict at 8: pass, score at 16, reason at 24, notes at 32.
      (i32.store8 (i32.const 8) (local.get $done))
      (f64.store (i32.const 16) (f64.convert_i32_u (local.get $done)))
      (i32.store (i32.const 24) (select (i32.const 1024) (i32.const 1055) (local.get $done)))
      (i32.store (i32.const 28) (select (i32.const 31) (i32.const 39) (local.get $done)))
      (i32.const 0)))
  (core instance $instance (instantiate $check))
  (func (export "grade") (param "s" $submission) (result (result $verdict (error string)))
    (canon lift
      (core func $instance "grade")
      (memory (core memory $instance "memory"))
      (realloc (core func $instance "realloc")))))
