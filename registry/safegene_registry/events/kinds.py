"""The kinds of events, and who may see which. Stable: feeds and webhooks name them."""

from enum import StrEnum


class Kind(StrEnum):
    """What an event says has happened."""

    NAMESPACE_CREATED = "namespace.created"
    VISIBILITY_CHANGED = "namespace.visibility-changed"
    QUOTA_CHANGED = "namespace.quota-changed"
    MEMBER_SET = "member.set"
    MEMBER_REMOVED = "member.removed"
    PUBLISHER_ADDED = "publisher.added"
    PUBLISHER_REMOVED = "publisher.removed"
    TOKEN_CREATED = "token.created"  # noqa: S105 - a kind
    TOKEN_EXCHANGED = "token.exchanged"  # noqa: S105 - a kind
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a kind
    WEBHOOK_ADDED = "webhook.added"
    WEBHOOK_REMOVED = "webhook.removed"
    VERSION_PUBLISHED = "version.published"
    VERSION_YANKED = "version.yanked"
    VERSION_UNYANKED = "version.unyanked"
    VERSION_PURGED = "version.purged"
    DEPRECATED = "deprecation.set"
    UNDEPRECATED = "deprecation.removed"
    ADVISORY_PUBLISHED = "advisory.published"
    ADVISORY_WITHDRAWN = "advisory.withdrawn"
    ATTESTED = "attestation.posted"
    EVALUATOR_TRUSTED = "evaluator.trusted"
    EVALUATOR_DISTRUSTED = "evaluator.distrusted"
    ALIAS_MOVED = "alias.moved"
    ALIAS_REMOVED = "alias.removed"
    ALIAS_PROTECTED = "protection.set"
    ALIAS_UNPROTECTED = "protection.removed"
    POLICY_CHANGED = "policy.changed"
    APPROVED = "approval.given"
    APPROVAL_WITHDRAWN = "approval.withdrawn"


OWNERS_ONLY = (
    *("namespace", "member", "publisher", "token", "webhook"),
    "protection",
)
"""What kinds begin with that only owners see; the others are about what is published,
and for everybody who may read the namespace."""


def is_for_readers(kind: str) -> bool:
    """Whether everybody who may read the namespace sees events of a kind."""
    return kind.partition(".")[0] not in OWNERS_ONLY


ENDS_STREAMS = frozenset(
    {Kind.VISIBILITY_CHANGED, Kind.MEMBER_SET, Kind.MEMBER_REMOVED, Kind.TOKEN_REVOKED}
)
"""After these, whoever listens comes again and is held against the rules anew."""
