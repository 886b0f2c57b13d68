"""Whether a template may be sent: known, in that language, approved, with the right number of parameters."""

from collections.abc import Sequence

from services.outbound.model import TemplateFact
from shared.contracts.content import Template

SENDABLE = "approved"


def objection(template: Template, known: Sequence[TemplateFact]) -> tuple[str, str] | None:
    """Return the reason and a sentence why this template may not go; None when it may.

    ``known`` are the tenant's templates of that name, in every language (docs/channels.md, 3).
    """
    if not known:
        return "template_not_found", f"the directory has no template {template.name!r}"
    in_language = [one for one in known if one.language == template.language]
    if not in_language:
        languages = ", ".join(sorted({one.language for one in known}))
        return "template_language_missing", f"{template.name!r} exists in {languages} only"
    fact = in_language[0]
    state = state_of(fact)
    if state.lower() != SENDABLE:
        return "template_not_sendable", f"{template.name!r} is {state}"
    given = parameters_given(template)
    if given != fact.parameters:
        return (
            "template_params_mismatch",
            f"{template.name!r} takes {fact.parameters} parameters, got {given}",
        )
    return None


def state_of(fact: TemplateFact) -> str:
    """Return the state that counts: the provider's word is newer than the document's."""
    return fact.state if fact.provider_state is None else fact.provider_state


def parameters_given(template: Template) -> int:
    """Count the parameters of the body; headers and buttons have their own."""
    return sum(
        len(parameters)
        for component in template.components
        if str(component.get("type", "")).lower() == "body"
        and isinstance(parameters := component.get("parameters", []), list)
    )
