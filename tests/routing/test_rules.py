"""Which department a message is for: the first rule that matches, however the rules are looked up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.decisions.rules import department_for, rule_for
from services.routing.model import Rule, Tenant
from shared.contracts.content import Location, Text
from shared.contracts.inbound_messages import Hints, MessageReceived
from shared.contracts.pair import canonical_address
from tests.desk_events import a_message


def by_definition(tenant: Tenant, message: MessageReceived) -> str:
    """docs/rules.md, 3: the first of the rules whose given fields all match, else the first line."""
    hints = message.hints or Hints()
    text = message.content.text.casefold() if isinstance(message.content, Text) else None
    for rule in tenant.rules:
        if (
            rule.channel in {None, message.channel}
            and (
                rule.business_address is None
                or canonical_address(rule.business_address) == canonical_address(message.business_address)
            )
            and (rule.language is None or rule.language == hints.language)
            and (rule.hint is None or rule.hint == hints.department)
            and (rule.keyword is None or (text is not None and rule.keyword.casefold() in text))
        ):
            return rule.department_id
    return tenant.first_line_department


def _or_none(*values: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


rules = st.builds(
    Rule,
    department_id=st.sampled_from("abcdef"),
    channel=_or_none("whatsapp", "sms"),
    business_address=_or_none("+49 30 1", "whatsapp:+49301", "+49302"),
    keyword=_or_none("Help", "straße"),
    language=_or_none("de", "en"),
    hint=_or_none("sales", "care"),
)
messages = st.builds(
    lambda channel, address, language, hint, content: a_message(
        channel=channel,
        business_address=address,
        hints=None if language is hint is None else Hints(language=language, department=hint),
        content=content,
    ),
    st.sampled_from(["whatsapp", "sms"]),
    st.sampled_from(["+49301", "+49 (30) 2", "+1"]),
    _or_none("de", "en"),
    _or_none("sales", "care"),
    st.sampled_from(
        [Text(text="HELP me"), Text(text="STRASSE"), Text(text="x"), Location(latitude=1.0, longitude=1.0)]
    ),
)


@given(st.lists(rules, max_size=8), messages)
def test_the_first_rule_that_matches_decides(found: list[Rule], message: MessageReceived) -> None:
    tenant = Tenant("acme", "first-line", rules=tuple(found))
    assert department_for(tenant, rule_for(tenant, message)) == by_definition(tenant, message)


@pytest.mark.parametrize(
    ("found", "department"),
    [
        pytest.param([], "first-line", id="no rule"),
        pytest.param([Rule("a", language="de")], "first-line", id="a language that the message does not say"),
        pytest.param([Rule("a", hint="sales"), Rule("b")], "b", id="the last matches everything"),
        pytest.param([Rule("b"), Rule("a", channel="whatsapp")], "b", id="the first, not the most specific"),
        pytest.param(
            [Rule("a", keyword="no"), Rule("b", keyword="HELLO")], "b", id="whatever the letters' case"
        ),
    ],
)
def test_rules_are_asked_in_their_order(found: list[Rule], department: str) -> None:
    tenant = Tenant("acme", "first-line", rules=tuple(found))
    assert department_for(tenant, rule_for(tenant, a_message("hello"))) == department
