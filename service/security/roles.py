"""Which role a call needs: the one table."""

from collections.abc import Mapping
from enum import Enum


class Role(Enum):
    """What the holder of a token may do; each role may do what those before it may."""

    PREDICT = "predict"
    UPDATE = "update"
    ADMIN = "admin"

    def covers(self, least: "Role") -> bool:
        """True if a call that needs `least` is open to this role."""
        order = list(Role)
        return order.index(self) >= order.index(least)


_TABLE: dict[str, dict[Role, tuple[str, ...]]] = {
    "scatonline.v1.ScatOnline": {
        Role.PREDICT: (
            "Predict",
            "Status",
            "GetFilters",
            "Watch",
            "ListModels",
            "DescribeModel",
            "ListCheckpoints",
        ),
        Role.UPDATE: (
            "OpenSession",
            "Update",
            "Label",
            "Stream",
            "CheckStructure",
            "Freeze",
            "Resume",
        ),
        Role.ADMIN: ("Rollback", "CreateModel", "DeleteModel", "ExportModel", "ImportModel"),
    },
    "grpc.health.v1.Health": {Role.PREDICT: ("Check", "Watch", "List")},
    "grpc.reflection.v1alpha.ServerReflection": {Role.PREDICT: ("ServerReflectionInfo",)},
    "grpc.reflection.v1.ServerReflection": {Role.PREDICT: ("ServerReflectionInfo",)},
}

LEAST: Mapping[str, Role] = {
    f"/{service}/{method}": role
    for service, roles in _TABLE.items()
    for role, methods in roles.items()
    for method in methods
}


def least(method: str) -> Role:
    """The least role that a call needs; a call that the table does not know needs the highest.

    Args:
        method: Full name as it travels, for example "/scatonline.v1.ScatOnline/Predict".
    """
    return LEAST.get(method, Role.ADMIN)
