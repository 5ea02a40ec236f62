"""The dependencies of a module's statements, read from its syntax tree."""

import ast
from collections.abc import Iterator, Sequence

LAMBDA = "<lambda>"
EXPERIMENT = "experiment"  # the name of a module's `Experiment`
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def used(tree: ast.Module, names: set[str]) -> list[ast.stmt]:
    """Return the statements of a module on which the definitions `names` depend, in their order.

    They are functions, classes, imports, what sets or changes a constant, and what may change
    another module. "" stands for all names. What sets `experiment` is only among them if `names`
    has it, because its fields are compared as values.
    """
    body = [node for node in tree.body if not _is_script(node)]
    lambdas = _lambdas(tree)
    statements = dict(lambdas)
    for node in body:
        for name in _changed(node):
            statements.setdefault(name, []).append(node)
    own = _own_names(tree)
    kept = [node for node in body if _reaches_out(node, own)]
    pending = [*names, *(name for node in kept for name in _names_in(node))]
    if "" in names:
        pending += statements.keys() - lambdas.keys()
    seen = {EXPERIMENT} - names
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            for node in statements.get(name, ()):
                kept.append(node)
                pending += _names_in(node)
    wanted = {id(node) for node in kept}
    found = [*body, *(node for nodes in lambdas.values() for node in nodes)]
    return [node for node in found if id(node) in wanted]


def _lambdas(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Return the lambdas of a module by the name that `used` takes, which has their line."""
    found: dict[str, list[ast.stmt]] = {}
    for part in ast.walk(tree):
        if isinstance(part, ast.Lambda):
            found.setdefault(f"{LAMBDA}{part.lineno}", []).append(ast.Expr(part))
    return found


def _is_script(node: ast.stmt) -> bool:
    """Whether a statement only runs in a script."""
    return isinstance(node, ast.If) and ast.unparse(node).startswith("if __name__ == '__main__':")


def _names_in(node: ast.AST) -> list[str]:
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]


def _changed(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds, or whose value it may change."""
    if isinstance(node, DEFINITIONS):
        yield node.name
        return  # what it binds inside is local
    if isinstance(node, ast.alias):
        yield _bound(node)
    elif isinstance(node, ast.Expr):  # x.append(1)
        yield _owner(node)
    elif _is_target(node):  # x = 1, x[0] = 1
        yield _base(node)
    for child in _children(node):
        yield from _changed(child)


def _reaches_out(node: ast.AST, own: set[str]) -> bool:
    """Whether a statement may change more than the names in `own`, such as another module.

    A function that is called for its effect may change anything, and a star import may bind any
    name.
    """
    if isinstance(node, DEFINITIONS) or (isinstance(node, ast.Expr) and _is_text(node)):
        return False
    if isinstance(node, ast.alias):
        return node.name == "*"
    if isinstance(node, ast.Expr):
        return _owner(node) not in own
    if _is_target(node) and not isinstance(node, ast.Name):
        return _base(node) not in own
    return any(_reaches_out(child, own) for child in _children(node))


def _own_names(tree: ast.Module) -> set[str]:
    """Return the names that a module assigns or defines itself, and does not import."""
    parts = list(ast.walk(tree))
    found = {part.id for part in parts if isinstance(part, ast.Name) and _is_target(part)}
    found |= {part.name for part in parts if isinstance(part, DEFINITIONS)}
    return found - {_bound(part) for part in parts if isinstance(part, ast.alias)}


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _is_target(node: ast.AST) -> bool:
    places = ast.Name | ast.Attribute | ast.Subscript
    return isinstance(node, places) and not isinstance(node.ctx, ast.Load)


def _owner(node: ast.Expr) -> str:
    """Return `x` for the statement `x.append(1)`, "" for any other expression."""
    method = node.value.func if isinstance(node.value, ast.Call) else None
    return _base(method) if isinstance(method, ast.Attribute) else ""


def _base(node: ast.AST) -> str:
    """Return `x` for `x`, `x.y` and `x[0].y`; "" if there is no name at the start."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node, without the variables of a comprehension, which are local."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.comprehension) and child is node.target):
            yield child


def imported(
    body: Sequence[ast.stmt], importer: str, is_package: bool, wanted: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield each module that statements may import, and the name of the imported definition.

    A star import may bind each name that the statements read, and each of `wanted`, which others
    import from their module.
    """
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
                names = [alias.name for alias in node.names]
                if names == ["*"]:
                    names = sorted(wanted.union(*map(_names_in, body)))
                for each in names:
                    yield name, each
                    yield f"{name}.{each}", ""


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
