;; The types of check.wit around a core module, whose body the tests put in its place.
(component
  (type $role' (enum "output" "input"))
  (export $role "role" (type $role'))
  (type $file' (record
    (field "name" string)
    (field "content-type" (option string))
    (field "size" u64)
    (field "sha256" string)
    (field "role" $role)
    (field "content" (option (list u8)))))
  (export $file "file" (type $file'))
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
  (export $submission "submission" (type $submission'))
  (type $verdict' (record
    (field "pass" bool)
    (field "score" float64)
    (field "reason" string)
    (field "notes" (list string))))
  (export $verdict "verdict" (type $verdict'))

  (core module $check CORE)
  (core instance $instance (instantiate $check))
  (func (export "grade") (param "s" $submission) (result (result $verdict (error string)))
    (canon lift
      (core func $instance "grade")
      (memory (core memory $instance "memory"))
      (realloc (core func $instance "cabi_realloc")))))
