"""`/docs`: every route on one page that needs no network, with examples, made from `/openapi.json`."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

from api.admission import required_scope
from api.problems import PROBLEMS
from api.responses import ProblemDocument
from api.retirement import HEADERS, retired_operation


def document(app: FastAPI) -> None:
    """Give the app its description and its page."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_page(app.openapi(), app.state.settings.base_url))


def _describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI's document, with the scope that each operation needs where the service knows keys."""
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=app.servers,
    )
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})[ProblemDocument.__name__] = ProblemDocument.model_json_schema()
    components["headers"] = _HEADERS | (HEADERS if app.state.retiring else {})
    for path, method, operation in _operations(schema):
        for status, response in operation["responses"].items():
            answer = response.get("content", {}).get("application/json")
            if answer is not None and "example" not in answer:
                answer["example"] = example_of(answer["schema"], components["schemas"])
            names = _headers_of(path, method, status)
            response.setdefault("headers", {}).update(
                {name: {"$ref": f"#/components/headers/{name}"} for name in names}
            )
        retirement = app.state.retiring.get((method, path))
        if retirement is not None:
            retired_operation(operation, retirement)
    if app.state.keys is None:
        return schema
    schemes = components.setdefault("securitySchemes", {})
    schemes["key"] = {"type": "http", "scheme": "bearer", "description": "A key of `tributary key create`."}
    for path, method, operation in _operations(schema):
        scope = required_scope(method, path)
        if scope is not None:
            operation["security"] = [{"key": []}]
            operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
    return schema


_HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "Names the request in the service's log; taken from the request when it has one.",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {"description": "Which model answers.", "schema": {"type": "string"}},
    "ETag": {
        "description": "Send it back in If-None-Match: 304 until the answer changes.",
        "schema": {"type": "string"},
    },
    "Link": {
        "description": "Where the page that follows is, as rel=next; absent on the last.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "RateLimit-Limit": {
        "description": "Requests a minute, where the key has a limit.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Remaining": {
        "description": "Requests that could follow at once.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Reset": {
        "description": "Seconds until the limit is whole again.",
        "schema": {"type": "integer"},
    },
}


_PAGED: Final = ("customers", "changes", "purchases", "touchpoints", "cases")
"""Last words of the addresses that answer page by page."""


def _headers_of(path: str, method: str, status: str) -> Iterator[str]:
    """Header fields of an answer."""
    yield "X-Request-Id"
    if status in ("429", "503", "507"):
        yield "Retry-After"
    good = status in ("200", "204", "206", "304")
    if not path.startswith(("/v1", "/v2")) or not (good or status == "429"):
        return
    yield from ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    if good:
        yield "X-Model-Version"
    if status == "200" and path.rpartition("/")[2] in _PAGED:
        yield "Link"
    uncached = path in ("/v1/versions", "/v1/customers/changes")
    if method == "GET" and status in ("200", "206", "304") and not uncached:
        yield "ETag"


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _page(schema: dict[str, Any], base: str) -> str:
    operations = list(_operations(schema))
    links = "".join(
        f'<li><a href="#{_anchor(m, p)}"><b>{m}</b> {html.escape(p)}</a></li>' for p, m, _ in operations
    )
    sections = "".join(_section(schema, base, *operation) for operation in operations)
    problems = "".join(
        f'<tr id="{name}"><td><code>{name}</code></td><td>{status}</td><td>{html.escape(title)}</td></tr>'
        for name, (status, title) in PROBLEMS.items()
    )
    return _TEMPLATE.format(
        title=html.escape(schema["info"]["title"]),
        description=_prose(schema["info"]["description"]),
        links=links,
        sections=sections,
        problems=problems,
    )


def _anchor(method: str, path: str) -> str:
    return method.lower() + path.replace("/", "-").replace("{", "").replace("}", "")


def _section(schema: dict[str, Any], base: str, path: str, method: str, operation: dict[str, Any]) -> str:
    text = _prose(operation.get("description", ""))
    parameters = "".join(
        _row(f"{p['name']} ({p['in']})", p.get("schema", {}), p.get("description", ""), schema)
        for p in operation.get("parameters", ())
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    fields = _fields(_resolved(schema, body), schema) if body else ""
    answer = (
        operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    )
    answered = _fields(_resolved(schema, answer), schema) if answer else ""
    refused = "".join(
        f"<li>{status}: {html.escape(response['description'])}</li>"
        for status, response in operation["responses"].items()
        if status not in ("200", "204", "304")
    )
    return (
        f'<section id="{_anchor(method, path)}"><h2><b>{method}</b> {html.escape(path)}</h2><p>{text}</p>'
        f"<pre>{html.escape(_curl(base, path, method, operation, schema))}</pre>"
        + _table("Parameters", parameters)
        + _table("Body", fields)
        + _table("Answer", answered)
        + (f"<details><summary>Refusals</summary><ul>{refused}</ul></details>" if refused else "")
        + "</section>"
    )


def _prose(text: str) -> str:
    """Text with `words of code` and paragraphs marked up."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return marked.replace("\n\n", "</p><p>")


def _table(title: str, rows: str) -> str:
    return f"<h3>{title}</h3><table>{rows}</table>" if rows else ""


def _fields(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    required = shape.get("required", ())
    return "".join(
        _row(name if name in required else f"{name} (optional)", field, field.get("description", ""), schema)
        for name, field in shape.get("properties", {}).items()
    )


def _row(name: str, shape: dict[str, Any], text: str, schema: dict[str, Any]) -> str:
    options = (shape, *shape.get("anyOf", ()))
    text = text or next((option["description"] for option in options if "description" in option), "")
    if shape.get("default") is not None:
        text = f"{text} Default: {shape['default']}.".strip()
    cells = (f"<code>{html.escape(name)}</code>", html.escape(_kind(shape, schema)), _prose(text))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _kind(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    """A type in words, with its bounds."""
    shape = _resolved(schema, shape)
    if "anyOf" in shape:
        return " or ".join(_kind(option, schema) for option in shape["anyOf"])
    if "enum" in shape:
        return "one of " + ", ".join(map(str, shape["enum"]))
    kind = str(shape.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(shape.get('items', {}), schema)}"
    bounds = [f"{sign} {shape[key]}" for key, sign in _BOUNDS.items() if key in shape]
    return f"{kind} {' '.join(bounds)}".strip()


_BOUNDS: Final = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}


def _resolved(schema: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in shape:
        found: dict[str, Any] = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        return found
    return shape


def _curl(base: str, path: str, method: str, operation: dict[str, Any], schema: dict[str, Any]) -> str:
    """A command that works as it stands, but for the key and the id."""
    words = ["curl"]
    if method != "GET":
        words.append(f"-X {method}")
    words.append(f"{base}{path.replace('{customer_id}', '17').replace('{name}', 'NAME')}")
    if required_scope(method, path) is not None:
        words.append('-H "Authorization: Bearer $TRIBUTARY_KEY"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        shape = _resolved(schema, body)
        example = {
            name: field["examples"][0]
            for name, field in shape.get("properties", {}).items()
            if "examples" in field or ("anyOf" not in field and name in shape.get("required", ()))
        }
        words += ['-H "Content-Type: application/json"', f"-d '{json.dumps(example)}'"]
    return " \\\n  ".join(words)


_TEMPLATE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} API</title><style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2430}}
h1{{margin-bottom:.2rem}}h3{{margin:.8rem 0 .2rem;font-size:.95rem}}
h2{{margin-top:2.5rem;border-top:1px solid #d8dee6;padding-top:1rem;font-size:1.15rem}}
h2 b,nav b{{color:#0b6e8f;font-weight:600;display:inline-block;min-width:4.2rem}}
nav ul{{list-style:none;padding:0}}code,pre{{font:13px/1.45 ui-monospace,monospace}}
pre{{background:#f3f6f9;padding:.7rem;overflow:auto;border-radius:4px}}
table{{border-collapse:collapse;width:100%}}
td{{border-bottom:1px solid #e5e9ee;padding:.25rem .8rem .25rem 0;vertical-align:top}}
td:first-child{{white-space:nowrap}}</style></head><body>
<h1>{title} API</h1><p>{description}</p>
<p>Send your key as <code>Authorization: Bearer KEY</code>. The machine-readable description is
<a href="/openapi.json">/openapi.json</a>.</p>
<nav><ul>{links}</ul></nav>{sections}
<section><h2 id="problems">Problems</h2><table>{problems}</table></section></body></html>"""
"""The page. Doubled braces are the style sheet's own."""


if __name__ == "__main__":  # the document of a service that has neither bundle nor keys, for generators
    from api.app import create_app

    print(json.dumps(create_app().openapi(), indent=2))


_FORMATS: Final = {"date": "2026-06-30", "date-time": "2026-06-30T12:00:00Z"}


def example_of(shape: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value that the schema allows.

    Parameters
    ----------
    shape
        A JSON schema of the kind that pydantic writes.
    schemas
        What its references lead to, by name.

    >>> shape = {"properties": {"n": {"type": "integer", "minimum": 1}, "day": {"examples": ["2026-06-30"]}}}
    >>> example_of({"type": "object", **shape}, {})
    {'n': 1, 'day': '2026-06-30'}
    """
    if "$ref" in shape:
        return example_of(schemas[shape["$ref"].rpartition("/")[2]], schemas)
    for given in ("example", "const", "default"):
        if shape.get(given) is not None:
            return shape[given]
    for several in ("examples", "enum"):
        if shape.get(several):
            return shape[several][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in shape:
            known = [option for option in shape[choice] if option.get("type") != "null"]
            return example_of(known[0], schemas) if known else None
    kind = shape.get("type", "object" if "properties" in shape else None)
    if kind == "object":
        return {name: example_of(part, schemas) for name, part in shape.get("properties", {}).items()}
    if kind == "array":
        return [example_of(shape["items"], schemas)] if "items" in shape else []
    if kind == "string":
        return _FORMATS.get(str(shape.get("format")), "text")
    if kind in ("integer", "number"):
        return shape.get("minimum", 1)
    return kind == "boolean" if kind == "boolean" else None
