"""json-schema: the output is JSON of the form that the task asks for.

params: schema (a JSON Schema), file (name of the handed-in file; the output text where it is not given).
Knows these keywords of JSON Schema (draft 2020-12): type, enum, const, properties, required, additionalProperties
(true, false or a schema), items, minItems, maxItems, minimum, maximum, exclusiveMinimum, exclusiveMaximum,
minLength, maxLength, pattern, title, description. Any other is an error of the plan, never ignored.
"""

import json
import re

NOTES = {"title", "description", "$schema"}
KNOWN = NOTES | {
    "type", "enum", "const", "properties", "required", "additionalProperties", "items", "minItems", "maxItems",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern",
}
TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool)
    and (isinstance(value, int) or isinstance(value, float) and value.is_integer()),
}
BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}


def no_duplicates(pairs):
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the key {name!r} stands twice in one object")
    return dict(pairs)


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def same(one, other):
    # In JSON, true is not 1.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def troubles(value, schema, path):
    """What is wrong with the value, one text for each place."""
    if schema is True or schema is False:
        return [] if schema else [f"{path} may not be there"]
    if not isinstance(schema, dict):
        raise ValueError(f"the schema for {path} must be an object")
    for keyword in schema:
        if keyword not in KNOWN:
            raise ValueError(f"the schema for {path} uses `{keyword}`, which this check does not know")
    wanted = schema.get("type")
    if wanted is not None:
        names = wanted if isinstance(wanted, list) else [wanted]
        for name in names:
            if name not in TYPES:
                raise ValueError(f"the schema for {path} names the type {name!r}, which does not exist")
        if not any(TYPES[name](value) for name in names):
            return [f"{path} must be {' or '.join(names)}"]
    found = []
    if "const" in schema and not same(value, schema["const"]):
        found.append(f"{path} must be {json.dumps(schema['const'])}")
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        found.append(f"{path} must be one of {json.dumps(schema['enum'])}")
    if TYPES["number"](value):
        for keyword, holds in BOUNDS.items():
            if keyword in schema and not holds(value, schema[keyword]):
                found.append(f"{path} is beyond {keyword} {schema[keyword]}")
    if isinstance(value, str):
        found += lengths(len(value), schema, "Length", "characters", path)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{path} does not match the pattern {schema['pattern']}")
    if isinstance(value, list):
        found += lengths(len(value), schema, "Items", "items", path)
        if "items" in schema:
            for index, item in enumerate(value):
                found += troubles(item, schema["items"], f"{path}[{index}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            rule = properties.get(name, schema.get("additionalProperties", True))
            found += troubles(item, rule, f"{path}.{name}")
    return found


def lengths(length, schema, end, unit, path):
    if length < schema.get(f"min{end}", 0):
        return [f"{path} has {length} {unit}, at least {schema[f'min{end}']} are asked for"]
    if length > schema.get(f"max{end}", length):
        return [f"{path} has {length} {unit}, at most {schema[f'max{end}']} are asked for"]
    return []


def check(submission):
    if "schema" not in submission.params:
        raise ValueError("params.schema is missing")
    name = submission.params.get("file")
    text = submission.file(name).text() if name else submission.text
    try:
        value = json.loads(text, object_pairs_hook=no_duplicates, parse_constant=refuse)
    except RecursionError:
        return {"pass": False, "reason": "the output is nested too deeply"}
    except ValueError as error:
        return {"pass": False, "reason": f"the output is no JSON: {error}"}
    found = troubles(value, submission.params["schema"], "$")
    if found:
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        return {"pass": False, "reason": "; ".join(found[:3]) + more, "notes": found[:50]}
    return {"pass": True, "reason": "the output has the form that is asked for"}
