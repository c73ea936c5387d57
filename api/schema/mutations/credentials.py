"""What an account is opened with: e-mail addresses and passwords, checked before anything is hashed or sent."""

from email_validator import EmailNotValidError, validate_email

from domain.errors import Code, Problem
from domain.limits import Limits


def checked_email(email: str, limits: Limits) -> tuple[str, list[Problem]]:
    """The address as the library spells it, or what is wrong with it. Syntax alone: nothing is asked of any name server."""
    if len(email.encode(errors="surrogatepass")) > limits.email_bytes:
        return "", [Problem(Code.TOO_LONG, f"An e-mail address has at most {limits.email_bytes} bytes.", ("email",))]
    try:
        # A test environment may use the domain .test; nothing else is let through by that.
        return validate_email(email.strip(), check_deliverability=False, test_environment=True).normalized, []
    except EmailNotValidError as error:
        return "", [Problem(Code.INVALID, str(error), ("email",))]


def password_problems(password: str, limits: Limits, field: str = "password") -> list[Problem]:
    """Long enough to be worth guessing, short enough to be hashed."""
    if len(password) < limits.password_min:
        message = f"A password has at least {limits.password_min} characters."
        return [Problem(Code.TOO_SHORT, message, (field,))]
    if len(password.encode(errors="surrogatepass")) > limits.password_bytes:
        return [Problem(Code.TOO_LONG, f"A password has at most {limits.password_bytes} bytes.", (field,))]
    if "\0" in password:
        return [Problem(Code.INVALID, "A password has no NUL.", (field,))]
    return []
