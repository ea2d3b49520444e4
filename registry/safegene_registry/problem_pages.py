"""The table of problems for people: a page for each, and `docs/problems.md`.

`python -m safegene_registry.problem_pages` prints the document; a test keeps it true.
"""

from html import escape

import click

from safegene_registry.problem_kinds import PROBLEMS, ProblemKind

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p><code>{slug}</code>, HTTP status {status}</p>
<p>{meaning}</p><h2>What to do</h2><p>{remedy}</p></body></html>
"""

INTRODUCTION = """\
# Problems

Every answer of the registry that is not a success is `application/problem+json`
(RFC 9457). The last part of `type` names the problem and never changes; `title` and
`detail` are for people and may. `request_id` is also in the `X-Request-Id` header and
in the log. `errors` lists wrong parts of the request, each with a JSON `pointer`: into
the body, or starting with `/query`, `/path` or `/header`.

```json
{
  "type": "https://registry.example/problems/version-exists",
  "title": "Version exists",
  "status": 409,
  "detail": "acme/refusal@1.0.0 is already published as sha256:…",
  "instance": "urn:uuid:5e1a7d2c-…",
  "request_id": "5e1a7d2c-…"
}
```

A `Retry-After` header says that the same request may succeed later; without one it
will not. This page is made from the table
in `safegene_registry.problem_kinds`.
"""


def problem_page(kind: ProblemKind) -> str:
    """The page at `/problems/<slug>`."""
    return PAGE.format(
        slug=kind.slug,
        status=kind.status,
        title=escape(kind.title),
        meaning=escape(kind.meaning),
        remedy=escape(kind.remedy),
    )


def problems_document() -> str:
    """The text of `docs/problems.md`."""
    parts = [INTRODUCTION]
    parts += [
        f"## {kind.slug}\n\n{kind.title}, status {kind.status}. {kind.meaning}\n\n"
        f"*What to do:* {kind.remedy}\n"
        for kind in PROBLEMS.values()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    click.echo(problems_document(), nl=False)
