"""Describes a click command line as plain data, to freeze it."""

import click


def describe_commands(group: click.Group) -> dict[str, list[str]]:
    """Every parameter of every command, one line each, in the order of its help."""
    return {
        name: [_describe(parameter) for parameter in command.params]
        for name, command in every_command(group).items()
    }


def every_command(group: click.Group) -> dict[str, click.Command]:
    """The commands by name; those of a group within have its name before theirs."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            inner = every_command(command)
            found |= {f"{name} {below}": inner[below] for below in inner}
        else:
            found[name] = command
    return found


def _describe(parameter: click.Parameter) -> str:
    facts = [*sorted(parameter.opts), parameter.type.name]
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
        facts[-1] = "flag"
    if parameter.required:
        facts.append("required")
    if parameter.multiple if isinstance(parameter, click.Option) else False:
        facts.append("repeatable")
    if isinstance(parameter.default, str | int | float) and facts[-1] != "flag":
        facts.append(f"default={parameter.default!r}")
    return " ".join(facts)
