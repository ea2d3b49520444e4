"""Who may do what: one table and how it is read. No database, no HTTP.

Every route declares an `Action`. What is known of the caller and of the namespace in
question makes a `Standing`; `decide` holds the one against the other. Three facts
count: the account's role in the namespace, the token's scope, and the one namespace
that the token may be restricted to. The token only narrows: it never lets anyone do
more than the account's role allows. Operators, through a token of scope `admin`, may
do everything.

A private namespace does not exist for those who have no role in it: whatever they ask,
they get the answer that they would get if nobody had ever made it.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

MIRROR_ACCOUNT = "mirror"
"""Publishes and says what was published and said in another registry."""


class Scope(StrEnum):
    """Most that a token may be used for; each includes the ones before it."""

    READ = "read"
    PUBLISH = "publish"
    ADMIN = "admin"


class Role(StrEnum):
    """What an account may do in a namespace; each includes the ones before it."""

    READER = "reader"
    PUBLISHER = "publisher"
    OWNER = "owner"


class Visibility(StrEnum):
    """Who may read a namespace: everybody, or its members."""

    PUBLIC = "public"
    PRIVATE = "private"


class Action(StrEnum):
    """What a request is about to do."""

    PASS = "pass"  # noqa: S105 - an action
    """What everybody may, also with a token that is no good: health, problem pages."""

    BROWSE = "browse"
    """List and search; the answer holds what the caller may read."""

    READ = "read"
    """Look at a namespace and what is in it."""

    IDENTIFY = "identify"
    """Ask about one's own token, or end it."""

    ANNOUNCE = "announce"
    """Open an upload. Its manifest names the namespace, for which PUBLISH is asked."""

    CREATE = "create"
    """Make a namespace, and so become its owner."""

    PUBLISH = "publish"
    """Add versions to a namespace, and hide what was published from resolution."""

    ATTEST = "attest"
    """Say something of a version, in the account's own name."""

    DELEGATE = "delegate"
    """Make, list and end tokens of one's own account."""

    MANAGE = "manage"
    """Decide about a namespace's members, visibility and trusted publishers."""

    ALLOT = "allot"
    """Decide how much a namespace may hold."""

    OPERATE = "operate"
    """Decide about the registry: anybody's tokens."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an action takes."""

    scope: Scope | None = None
    """Least scope of the token; None: no token is needed."""

    role: Role | None = None
    """Least role in the namespace; None: the action is not about one namespace."""

    operators_only: bool = False
    """No role suffices."""

    needs_role: bool = True
    """False: where everybody may read, everybody may."""


RULES: dict[Action, Rule] = {
    Action.PASS: Rule(),
    Action.BROWSE: Rule(),
    # Without a token for what is public.
    Action.READ: Rule(role=Role.READER),
    Action.IDENTIFY: Rule(Scope.READ),
    Action.ANNOUNCE: Rule(Scope.PUBLISH),
    Action.CREATE: Rule(Scope.PUBLISH),
    Action.PUBLISH: Rule(Scope.PUBLISH, Role.PUBLISHER),
    # Claims are for all to make: whose count is for owners to say.
    Action.ATTEST: Rule(Scope.PUBLISH, Role.READER, needs_role=False),
    Action.DELEGATE: Rule(Scope.ADMIN),
    Action.MANAGE: Rule(Scope.ADMIN, Role.OWNER),
    Action.ALLOT: Rule(Scope.ADMIN, Role.OWNER, operators_only=True),
    Action.OPERATE: Rule(Scope.ADMIN, operators_only=True),
}


class Decision(StrEnum):
    """What is answered, and why if it is no."""

    ALLOW = "allow"
    AUTHENTICATE = "authenticate"
    """401: nobody is let do this without a token."""
    HIDE = "hide"
    """404: there is no such namespace, or none that the caller may know of."""
    LACKS_REACH = "lacks-reach"
    """403: the token is restricted to another namespace."""
    LACKS_ROLE = "lacks-role"
    """403: the account has no role there, or too low a one."""
    LACKS_SCOPE = "lacks-scope"
    """403: the account may, the token may not."""
    NOT_AN_OPERATOR = "not-an-operator"
    """403: only operators may."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a valid token."""

    token_id: UUID
    account_id: UUID
    account: str
    """Name of the account."""
    name: str
    """Name of the token."""
    scope: Scope
    namespace: str | None = None
    """The only namespace that the token opens."""
    is_operator: bool = False

    def reaches(self, namespace: str | None) -> bool:
        """Whether the token may be used there; None stands for the whole registry."""
        return self.namespace is None or self.namespace == namespace

    def operates(self, namespace: str | None) -> bool:
        """Whether the caller may do everything there."""
        return (
            self.is_operator and self.scope is Scope.ADMIN and (self.reaches(namespace))
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Who asks, and how they stand to the namespace in question."""

    principal: Principal | None
    """None: nobody we know."""
    namespace: str | None = None
    """None: the request is not about one."""
    visibility: Visibility | None = None
    """None: there is no such namespace."""
    role: Role | None = None
    """Of the principal's account in the namespace."""
    open_creation: bool = True
    """Whether everybody with a token may make namespaces."""


def decide(action: Action, standing: Standing) -> Decision:
    """Hold a standing against the rule of an action."""
    rule, caller = RULES[action], standing.principal
    if caller is None and rule.scope is not None:
        return Decision.AUTHENTICATE
    if rule.role is not None:
        return decide_in_namespace(rule, rule.role, standing)
    if caller is None or caller.operates(None):
        return Decision.ALLOW
    if rule.operators_only or (action is Action.CREATE and not standing.open_creation):
        return Decision.NOT_AN_OPERATOR
    if action is Action.CREATE and caller.namespace is not None:
        return Decision.LACKS_REACH
    return check_scope(rule, caller)


def decide_in_namespace(rule: Rule, least: Role, standing: Standing) -> Decision:
    """Decide about an action in one namespace."""
    caller, is_public = standing.principal, standing.visibility is Visibility.PUBLIC
    is_member = (
        caller is not None
        and standing.role is not None
        and caller.reaches(standing.namespace)
    )
    operates = caller is not None and caller.operates(standing.namespace)
    if standing.visibility is None or not (is_public or is_member or operates):
        return Decision.HIDE
    if rule.operators_only and not operates:
        return Decision.NOT_AN_OPERATOR
    if rule.scope is None or caller is None or operates:
        # Only reading takes no token, and what is left is what the caller may see.
        return Decision.ALLOW
    if not caller.reaches(standing.namespace):
        return Decision.LACKS_REACH
    if rule.needs_role and (standing.role is None or rank(standing.role) < rank(least)):
        return Decision.LACKS_ROLE
    return check_scope(rule, caller)


def check_scope(rule: Rule, caller: Principal) -> Decision:
    """Decide by the token's scope alone."""
    if rule.scope is not None and rank(caller.scope) < rank(rule.scope):
        return Decision.LACKS_SCOPE
    return Decision.ALLOW


def rank(word: Scope | Role) -> int:
    """Position among the words of its kind, the weakest first."""
    return list(type(word)).index(word)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose eyes lists and searches are seen with.

    Everybody sees public namespaces; beyond them an account sees those it is a member
    of, as far as its token reaches.
    """

    account_id: UUID | None = None
    """None: nobody we know."""
    namespace: str | None = None
    """Of the private ones only this; None: all of the account's."""
    sees_all: bool = False


def reader_of(principal: Principal | None) -> Reader:
    """What a caller may read."""
    if principal is None:
        return Reader()
    operates = principal.operates(principal.namespace)
    return Reader(
        account_id=principal.account_id,
        namespace=principal.namespace,
        sees_all=operates,
    )
