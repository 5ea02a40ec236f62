"""The dependencies of a module's statements, read from its syntax tree."""

import ast
from collections.abc import Iterator, Sequence

LAMBDA = "<lambda>"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def used(tree: ast.Module, names: set[str]) -> list[ast.stmt]:
    """Return the statements of a module on which the definitions `names` depend, in their order.

    They are functions, classes, imports, and what sets or changes a constant, in their order. ""
    stands for all functions and classes.
    """
    statements: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in _changed(node):
            statements.setdefault(name, []).append(node)
    for part in ast.walk(tree):
        if isinstance(part, ast.Lambda):
            statements.setdefault(f"{LAMBDA}{part.lineno}", [ast.Expr(part)])
    pending = list(names)
    if "" in names:
        pending += [node.name for node in tree.body if isinstance(node, DEFINITIONS)]
    kept: dict[str, list[ast.stmt]] = {}
    while pending:
        name = pending.pop()
        if name in statements and name not in kept:
            kept[name] = statements[name]
            for node in statements[name]:
                pending += [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    found = {id(node): node for nodes in statements.values() for node in nodes}
    wanted = {id(node) for nodes in kept.values() for node in nodes}
    return [node for key, node in found.items() if key in wanted]


def _changed(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds, or whose value it may change."""
    if isinstance(node, DEFINITIONS):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    else:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id
            elif isinstance(part, ast.Subscript | ast.Attribute):  # x[0] = 1, x.append(1)
                base: ast.expr = part
                while isinstance(base, ast.Subscript | ast.Attribute):
                    base = base.value
                if isinstance(base, ast.Name):
                    yield base.id


def imported(
    body: Sequence[ast.stmt], importer: str, is_package: bool
) -> Iterator[tuple[str, str]]:
    """Yield each module that statements may import, and the name of the imported definition."""
    package = (importer if is_package else importer.rpartition(".")[0]).split(".")
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from ((name, "") for name in _with_parents(alias.name))
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                name = ".".join([*above, *([node.module] if node.module else [])])
                yield from ((parent, "") for parent in _with_parents(name)[:-1])
                for alias in node.names:
                    yield name, alias.name
                    yield f"{name}.{alias.name}", ""


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def code(body: Sequence[ast.stmt]) -> str:
    """Return statements as text, without comments, docstrings and formatting."""
    kept = [_without_docstrings(node) for node in body if not _is_text(node)]
    module = ast.Module(body=kept, type_ignores=[])
    return ast.unparse(ast.fix_missing_locations(module))


def _without_docstrings(statement: ast.stmt) -> ast.stmt:
    copy = ast.parse(ast.unparse(statement)).body[0]
    for node in ast.walk(copy):
        if isinstance(node, DEFINITIONS) and _is_text(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]
    return copy


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
