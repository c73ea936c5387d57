"""Expected failures of a command, as its payload shows them."""

from collections.abc import Sequence

import strawberry

from api.schema.enums import ErrorCode
from domain.errors import Problem


@strawberry.type(description="One reason why a mutation did nothing.")
class UserError:
    message: str = strawberry.field(description="What is wrong, for a person to read.")
    code: ErrorCode = strawberry.field(description="What is wrong, for a program to act upon.")
    field: list[str] | None = strawberry.field(
        description="The path of the input field at fault; null where it is the whole input."
    )


def user_errors(problems: Sequence[Problem]) -> list[UserError]:
    return [UserError(message=p.message, code=ErrorCode(p.code.value), field=list(p.field) or None) for p in problems]
