;; csv-shape: every row of the CSV has the same number of columns.
;;
;; Reads the first handed-in file whose bytes the plan lets it see, else the output text.
;; Commas and line ends within double quotes belong to the field (RFC 4180).
;; params: columns (whole number, optional): how many columns; the first row's number where it is not given.
;; Score: the share of rows that have the right number.
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
    (data (i32.const 1024) "\22columns\22:")
    (data (i32.const 1040) "there is no row")
    (data (i32.const 1056) "row ")
    (data (i32.const 1060) " has ")
    (data (i32.const 1066) " columns, expected ")
    (data (i32.const 1088) " rows of ")
    (data (i32.const 1104) " columns")
    (data (i32.const 1120) "a quote is not closed")

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

    ;; The number after "columns": in the params, 0 where there is none.
    (func $wanted (param $at i32) (param $len i32) (result i32)
      (local $stop i32) (local $i i32) (local $n i32) (local $digit i32)
      (if (i32.lt_u (local.get $len) (i32.const 11)) (then (return (i32.const 0))))
      (local.set $stop (i32.add (local.get $at) (i32.sub (local.get $len) (i32.const 10))))
      (block $found
        (loop $search
          (local.set $i (i32.const 0))
          (block $differs
            (loop $compare
              (br_if $differs (i32.ne
                (i32.load8_u (i32.add (local.get $at) (local.get $i)))
                (i32.load8_u offset=1024 (local.get $i))))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $compare (i32.lt_u (local.get $i) (i32.const 10))))
            (br $found))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $search (i32.lt_u (local.get $at) (local.get $stop))))
        (return (i32.const 0)))
      (local.set $at (i32.add (local.get $at) (i32.const 10)))
      (loop $digits
        (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
        (if (i32.and (i32.lt_u (local.get $digit) (i32.const 10)) (i32.lt_u (local.get $n) (i32.const 10000)))
          (then
            (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10)) (local.get $digit)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $digits))))
      (local.get $n))

    ;; Address of the pointer and length of what is read: a file's content, else the output text.
    (func $source (param $call i32) (result i32)
      (local $file i32) (local $left i32)
      (local.set $file (i32.load offset=60 (local.get $call)))
      (local.set $left (i32.load offset=64 (local.get $call)))
      (block $none
        (loop $files
          (br_if $none (i32.eqz (local.get $left)))
          (if (i32.and
                (i32.eqz (i32.load8_u offset=40 (local.get $file)))
                (i32.load8_u offset=44 (local.get $file)))
            (then (return (i32.add (local.get $file) (i32.const 48)))))
          (local.set $file (i32.add (local.get $file) (i32.const 56)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $files)))
      (i32.add (local.get $call) (i32.const 52)))

    (global $rows (mut i32) (i32.const 0))
    (global $good (mut i32) (i32.const 0))
    (global $columns (mut i32) (i32.const 0))
    (global $bad-row (mut i32) (i32.const 0))
    (global $bad-columns (mut i32) (i32.const 0))
    (func $end-row (param $columns i32)
      (global.set $rows (i32.add (global.get $rows) (i32.const 1)))
      (if (i32.eqz (global.get $columns)) (then (global.set $columns (local.get $columns))))
      (if (i32.eq (local.get $columns) (global.get $columns))
        (then (global.set $good (i32.add (global.get $good) (i32.const 1))))
        (else
          (if (i32.eqz (global.get $bad-row))
            (then
              (global.set $bad-row (global.get $rows))
              (global.set $bad-columns (local.get $columns)))))))

    (func (export "grade") (param $call i32) (result i32)
      (local $at i32) (local $stop i32) (local $byte i32) (local $quoted i32) (local $columns i32) (local $bytes i32)
      (global.set $columns (call $wanted
        (i32.load offset=68 (local.get $call)) (i32.load offset=72 (local.get $call))))
      (local.set $at (call $source (local.get $call)))
      (local.set $stop (i32.load offset=4 (local.get $at)))
      (local.set $at (i32.load (local.get $at)))
      (local.set $stop (i32.add (local.get $at) (local.get $stop)))
      (local.set $columns (i32.const 1))
      (block $done
        (loop $next-byte
          (br_if $done (i32.ge_u (local.get $at) (local.get $stop)))
          (local.set $byte (i32.load8_u (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          ;; A doubled quote within quotes closes and opens again: the same in the end.
          (if (i32.eq (local.get $byte) (i32.const 34))
            (then (local.set $quoted (i32.eqz (local.get $quoted)))))
          (if (i32.eqz (local.get $quoted))
            (then
              (if (i32.eq (local.get $byte) (i32.const 10))
                (then
                  (call $end-row (local.get $columns))
                  (local.set $columns (i32.const 1))
                  (local.set $bytes (i32.const 0))
                  (br $next-byte)))
              (if (i32.eq (local.get $byte) (i32.const 44))
                (then (local.set $columns (i32.add (local.get $columns) (i32.const 1)))))))
          (local.set $bytes (i32.add (local.get $bytes) (i32.const 1)))
          (br $next-byte)))
      (if (i32.or (i32.gt_u (local.get $bytes) (i32.const 0)) (local.get $quoted))
        (then (call $end-row (local.get $columns))))
      (if (local.get $quoted)
        (then
          (call $put (i32.const 1120) (i32.const 21))
          (return (call $answer (i32.const 0) (f64.const 0)))))
      (if (i32.eqz (global.get $rows))
        (then
          (call $put (i32.const 1040) (i32.const 15))
          (return (call $answer (i32.const 0) (f64.const 0)))))
      (if (global.get $bad-row)
        (then
          (call $put (i32.const 1056) (i32.const 4))
          (call $put-number (global.get $bad-row))
          (call $put (i32.const 1060) (i32.const 5))
          (call $put-number (global.get $bad-columns))
          (call $put (i32.const 1066) (i32.const 19))
          (call $put-number (global.get $columns))
          (return (call $answer (i32.const 0)
            (f64.div (f64.convert_i32_u (global.get $good)) (f64.convert_i32_u (global.get $rows)))))))
      (call $put-number (global.get $rows))
      (call $put (i32.const 1088) (i32.const 9))
      (call $put-number (global.get $columns))
      (call $put (i32.const 1104) (i32.const 8))
      (call $answer (i32.const 1) (f64.const 1))))
  (core instance $instance (instantiate $check))
  (func (export "grade") (param "s" $submission) (result (result $verdict (error string)))
    (canon lift
      (core func $instance "grade")
      (memory (core memory $instance "memory"))
      (realloc (core func $instance "realloc")))))
