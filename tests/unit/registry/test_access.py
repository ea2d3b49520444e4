"""The table of who may do what: read row by row, and its laws for every standing."""

from itertools import product
from uuid import UUID

import pytest
from safegene_registry.access import (
    RULES,
    Action,
    Decision,
    Principal,
    Role,
    Scope,
    Standing,
    Visibility,
    decide,
    rank,
    reader_of,
)

ID = UUID(int=1)
PUBLIC, PRIVATE = Visibility.PUBLIC, Visibility.PRIVATE
ALLOW, HIDE = Decision.ALLOW, Decision.HIDE
IN_NAMESPACE = [action for action, rule in RULES.items() if rule.role is not None]


def principal(scope=Scope.ADMIN, namespace=None, *, is_operator=False):
    return Principal(ID, ID, "ann", "laptop", scope, namespace, is_operator)


def standing(caller, visibility=PUBLIC, role=None, *, open_creation=True):
    return Standing(caller, "acme", visibility, role, open_creation)


PRINCIPALS = [
    None,
    *(
        principal(scope, namespace, is_operator=is_operator)
        for scope, namespace, is_operator in product(
            Scope, (None, "acme", "other"), (False, True)
        )
    ),
]
STANDINGS = [
    Standing(caller, namespace, visibility if namespace else None, role, open_creation)
    for caller, namespace, visibility, role, open_creation in product(
        PRINCIPALS,
        ("acme", None),
        (PUBLIC, PRIVATE, None),
        (None, *Role),
        (True, False),
    )
    if (caller and namespace and visibility) or role is None
]


def test_every_action_has_a_rule():
    assert set(RULES) == set(Action)


@pytest.mark.parametrize(
    ("action", "caller", "visibility", "role", "decision"),
    [
        (Action.READ, None, PUBLIC, None, ALLOW),
        (Action.READ, None, PRIVATE, None, HIDE),
        (Action.READ, principal(Scope.READ), PRIVATE, None, HIDE),
        (Action.READ, principal(Scope.READ), PRIVATE, Role.READER, ALLOW),
        (Action.READ, principal(Scope.READ, "other"), PRIVATE, Role.OWNER, HIDE),
        (Action.READ, principal(Scope.READ, "other"), PUBLIC, None, ALLOW),
        (Action.PUBLISH, None, PUBLIC, None, Decision.AUTHENTICATE),
        (Action.PUBLISH, principal(), PUBLIC, None, Decision.LACKS_ROLE),
        (Action.PUBLISH, principal(), PRIVATE, None, HIDE),
        (Action.PUBLISH, principal(), PUBLIC, Role.READER, Decision.LACKS_ROLE),
        (Action.PUBLISH, principal(Scope.PUBLISH), PRIVATE, Role.PUBLISHER, ALLOW),
        (
            *(Action.PUBLISH, principal(Scope.READ), PUBLIC, Role.OWNER),
            Decision.LACKS_SCOPE,
        ),
        (
            *(Action.PUBLISH, principal(Scope.PUBLISH, "other"), PUBLIC, Role.OWNER),
            Decision.LACKS_REACH,
        ),
        (Action.ATTEST, principal(Scope.PUBLISH), PUBLIC, None, ALLOW),
        (Action.ATTEST, principal(Scope.READ), PUBLIC, None, Decision.LACKS_SCOPE),
        (Action.ATTEST, principal(), PRIVATE, None, HIDE),
        (Action.ATTEST, principal(Scope.PUBLISH), PRIVATE, Role.READER, ALLOW),
        (
            *(Action.ATTEST, principal(namespace="other"), PUBLIC, Role.OWNER),
            Decision.LACKS_REACH,
        ),
        (Action.MANAGE, principal(), PUBLIC, Role.PUBLISHER, Decision.LACKS_ROLE),
        (Action.MANAGE, principal(), PUBLIC, Role.OWNER, ALLOW),
        (
            *(Action.MANAGE, principal(Scope.PUBLISH), PUBLIC, Role.OWNER),
            Decision.LACKS_SCOPE,
        ),
        (Action.MANAGE, principal(is_operator=True), PRIVATE, None, ALLOW),
        (
            *(Action.MANAGE, principal(Scope.PUBLISH, is_operator=True), PRIVATE, None),
            HIDE,
        ),
        (
            *(Action.MANAGE, principal(namespace="other", is_operator=True)),
            *(PRIVATE, None, HIDE),
        ),
        (Action.MANAGE, principal(is_operator=True), None, None, HIDE),
    ],
)
def test_rows_of_the_table(action, caller, visibility, role, decision):
    assert decide(action, standing(caller, visibility, role)) is decision


@pytest.mark.parametrize(
    ("action", "caller", "decision"),
    [
        (Action.PASS, None, ALLOW),
        (Action.BROWSE, None, ALLOW),
        (Action.IDENTIFY, None, Decision.AUTHENTICATE),
        (Action.IDENTIFY, principal(Scope.READ), ALLOW),
        (Action.ANNOUNCE, principal(Scope.READ), Decision.LACKS_SCOPE),
        (Action.ANNOUNCE, principal(Scope.PUBLISH, "other"), ALLOW),
        (Action.CREATE, principal(Scope.PUBLISH), ALLOW),
        (Action.CREATE, principal(Scope.PUBLISH, "other"), Decision.LACKS_REACH),
        (Action.DELEGATE, principal(Scope.PUBLISH), Decision.LACKS_SCOPE),
        (Action.DELEGATE, principal(), ALLOW),
        (Action.OPERATE, principal(), Decision.NOT_AN_OPERATOR),
        (Action.OPERATE, principal(is_operator=True), ALLOW),
        (
            *(Action.OPERATE, principal(Scope.PUBLISH, is_operator=True)),
            Decision.NOT_AN_OPERATOR,
        ),
        (
            *(Action.OPERATE, principal(namespace="acme", is_operator=True)),
            Decision.NOT_AN_OPERATOR,
        ),
    ],
)
def test_rows_about_no_namespace(action, caller, decision):
    assert decide(action, Standing(caller)) is decision


def test_namespaces_may_be_left_to_operators():
    closed = {"open_creation": False}

    refused = decide(Action.CREATE, Standing(principal(), **closed))
    allowed = decide(Action.CREATE, Standing(principal(is_operator=True), **closed))

    assert refused is Decision.NOT_AN_OPERATOR
    assert allowed is ALLOW


@pytest.mark.parametrize("action", Action)
def test_strangers_cannot_tell_private_from_absent(action):
    """Whatever they try, and whatever their token says."""
    for found in STANDINGS:
        caller = found.principal
        stranger = found.role is None or not caller.reaches(found.namespace)
        if caller is not None and caller.operates(found.namespace):
            continue
        if found.visibility is PRIVATE and stranger:
            absent = Standing(caller, found.namespace, None, None, found.open_creation)

            assert decide(action, found) == decide(action, absent)


@pytest.mark.parametrize("action", Action)
def test_a_wider_token_never_allows_less(action):
    for found in STANDINGS:
        caller = found.principal
        if caller is None or decide(action, found) is not ALLOW:
            continue
        for scope in Scope:
            if rank(scope) >= rank(caller.scope):
                wider = principal(scope, None, is_operator=caller.is_operator)
                again = Standing(
                    wider,
                    found.namespace,
                    found.visibility,
                    found.role,
                    found.open_creation,
                )

                assert decide(action, again) is ALLOW


@pytest.mark.parametrize("action", IN_NAMESPACE)
def test_a_higher_role_never_allows_less(action):
    for found in STANDINGS:
        if found.role is None or decide(action, found) is not ALLOW:
            continue
        for role in Role:
            if rank(role) > rank(found.role):
                higher = Standing(
                    found.principal, found.namespace, found.visibility, role
                )

                assert decide(action, higher) is ALLOW


@pytest.mark.parametrize("action", IN_NAMESPACE)
def test_a_token_for_one_namespace_is_a_strangers_everywhere_else(action):
    for scope, role, visibility in product(Scope, Role, Visibility):
        elsewhere = principal(scope, "other", is_operator=True)
        found = decide(action, standing(elsewhere, visibility, role))
        expected = decide(action, standing(principal(scope), visibility, None))

        # Strangers may make claims where all may read, with tokens that reach there.
        may = expected is ALLOW and action is not Action.ATTEST
        assert (found is ALLOW) == may
        assert (found is HIDE) == (expected is HIDE)


def test_readers_see_what_their_token_reaches():
    assert reader_of(None).account_id is None
    assert reader_of(principal(Scope.READ, "acme")).namespace == "acme"
    assert not reader_of(principal()).sees_all
    assert not reader_of(principal(Scope.READ, is_operator=True)).sees_all
    assert reader_of(principal(is_operator=True)).sees_all
