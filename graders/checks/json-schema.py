"""The hand-in is JSON of the wanted shape, said in a small part of JSON Schema.

Understood: `type` (one or a list), `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`,
`minItems`, `maxItems`, `minLength`, `maxLength`, `pattern`, `minimum`, `maximum`, and `title` and `description`, which
say nothing. Any other keyword is an error of the plan and never ignored. Numbers are compared by value (1 and 1.0 are
the same, and both are integers), names that occur twice in one object fail.

params:
  schema  the schema
  file    the handed-in file to look at instead of the text (name it in `attachments`)
"""

import json
import re

TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")
PROBLEMS = 20


def check(submission):
    params = submission.params
    if "schema" not in params or set(params) - {"schema", "file"}:
        raise ValueError("params: expected `schema`, and perhaps `file`")
    validate_schema(params["schema"], "schema")
    text = submission.file(params["file"]).text() if "file" in params else submission.text
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except ValueError as error:
        raise Fail(f"not valid JSON: {error}")
    problems = list(problems_of(value, params["schema"], ""))
    shown = "; ".join(problems[:PROBLEMS])
    if len(problems) > PROBLEMS:
        shown += f"; {len(problems) - PROBLEMS} more"
    return {"pass": not problems, "reason": shown or "the JSON is of the wanted shape"}


def unique(pairs):
    """An object whose names occur once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"a name occurs twice in one object: {next(n for n in names if names.count(n) > 1)!r}")
    return found


def refuse(name):
    raise ValueError(f"{name} is no JSON")


def finite(text):
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large a number")
    return number


def is_count(value):
    return type(value) is int and value >= 0


def is_number(value):
    return type(value) in (int, float)


def is_names(value):
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def is_type(value):
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(name in TYPES for name in names)


def is_pattern(value):
    try:
        re.compile(value)
    except (TypeError, re.error):
        return False
    return True


KEYWORDS = {
    "title": lambda value: isinstance(value, str),
    "description": lambda value: isinstance(value, str),
    "type": is_type,
    "enum": lambda value: isinstance(value, list) and bool(value),
    "const": lambda value: True,
    "properties": lambda value: isinstance(value, dict),
    "required": is_names,
    "additionalProperties": lambda value: isinstance(value, (bool, dict)),
    "items": lambda value: isinstance(value, (bool, dict)),
    "minItems": is_count,
    "maxItems": is_count,
    "minLength": is_count,
    "maxLength": is_count,
    "pattern": is_pattern,
    "minimum": is_number,
    "maximum": is_number,
}


def validate_schema(schema, place):
    """Refuses what is not understood, wherever in the schema it is."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise ValueError(f"params: {place} must be an object or a boolean")
    for keyword, value in schema.items():
        if keyword not in KEYWORDS:
            raise ValueError(f"params: {place} has a keyword `{keyword}`, which this check does not understand")
        if not KEYWORDS[keyword](value):
            raise ValueError(f"params: {place}.{keyword} cannot be {json.dumps(value)}")
    for name, inner in schema.get("properties", {}).items():
        validate_schema(inner, f"{place}.properties.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            validate_schema(schema[keyword], f"{place}.{keyword}")


def has_type(value, name):
    if name == "integer":
        return is_number(value) and value == int(value)
    if name == "number":
        return is_number(value)
    kinds = {"null": type(None), "boolean": bool, "object": dict, "array": list, "string": str}
    return type(value) is kinds[name]


def same(left, right):
    """Equality as JSON has it: true is not 1."""
    if is_number(left) and is_number(right):
        return left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def problems_of(value, schema, place):
    """What is wrong with a value, each with its place as a JSON pointer."""
    at = place or "the document"
    if isinstance(schema, bool):
        if not schema:
            yield f"{at} is not allowed"
        return
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(has_type(value, name) for name in names):
            yield f"{at} is not of type {' or '.join(names)}"
            return
    if "enum" in schema and not any(same(value, choice) for choice in schema["enum"]):
        yield f"{at} is none of the allowed values"
    if "const" in schema and not same(value, schema["const"]):
        yield f"{at} is not the wanted value"
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{at} lacks `{name}`"
        for name, inner in value.items():
            rule = known[name] if name in known else schema.get("additionalProperties", True)
            step = name.replace("~", "~0").replace("/", "~1")
            yield from problems_of(inner, rule, f"{place}/{step}")
    elif isinstance(value, list):
        yield from bounds(at, len(value), schema, "minItems", "maxItems", "items")
        for index, inner in enumerate(value):
            yield from problems_of(inner, schema.get("items", True), f"{place}/{index}")
    elif isinstance(value, str):
        yield from bounds(at, len(value), schema, "minLength", "maxLength", "characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at} does not match the pattern"
    elif is_number(value):
        if "minimum" in schema and value < schema["minimum"]:
            yield f"{at} is below {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            yield f"{at} is above {schema['maximum']}"


def bounds(at, count, schema, least, most, what):
    if least in schema and count < schema[least]:
        yield f"{at} has {count} {what}, at least {schema[least]} are asked for"
    if most in schema and count > schema[most]:
        yield f"{at} has {count} {what}, at most {schema[most]} are asked for"
