"""The tables, by what they are about.

`access`: who there is and what they may do. `catalog`: what is published. `lifecycle`:
what points at that and moves. `promotion`: what that demands. `uploads`: what is on its
way in or out. `events`: what has happened. `webhooks`: where that is sent.
`attestations`: what is said of versions.
"""

from safegene_registry.models.access import (
    Account,
    Member,
    Namespace,
    Token,
    TrustedPublisher,
)
from safegene_registry.models.attestations import Attestation, TrustedEvaluator
from safegene_registry.models.catalog import (
    ArchitectureRow,
    Blob,
    File,
    Head,
    Purge,
    Vector,
    Version,
    VersionState,
)
from safegene_registry.models.events import EventEnd, EventRow
from safegene_registry.models.lifecycle import (
    Advisory,
    Alias,
    AliasMove,
    AliasMover,
    Deprecation,
    ProtectedAlias,
    VectorDeprecation,
    VersionDeprecation,
)
from safegene_registry.models.promotion import Approval, PolicyRow
from safegene_registry.models.uploads import (
    Completion,
    Removal,
    Reservation,
    Upload,
    UploadBlob,
)
from safegene_registry.models.webhooks import DeadLetter, Webhook

__all__ = [
    "Account",
    "Advisory",
    "Alias",
    "AliasMove",
    "AliasMover",
    "Approval",
    "ArchitectureRow",
    "Attestation",
    "Blob",
    "Completion",
    "DeadLetter",
    "Deprecation",
    "EventEnd",
    "EventRow",
    "File",
    "Head",
    "Member",
    "Namespace",
    "PolicyRow",
    "ProtectedAlias",
    "Purge",
    "Removal",
    "Reservation",
    "Token",
    "TrustedEvaluator",
    "TrustedPublisher",
    "Upload",
    "UploadBlob",
    "Vector",
    "VectorDeprecation",
    "Version",
    "VersionDeprecation",
    "VersionState",
    "Webhook",
]
