"""What can be exported: the rows, their columns and the SQL that reads them. Nothing personal is among the columns:
users appear by their internal id, staff by their user name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from core.errors import NotFound
from core.sql import load


@dataclass(frozen=True)
class Column:
    """One column: its name, its type in JSON (`text`, `int`, `bool`, `time`, `json`) and what it means, in both
    languages, since the reader of a bundle has no screen of ours."""

    name: str
    type: str
    zh: str
    en: str


@dataclass(frozen=True)
class Definition:
    """One kind of bundle. `table` is the append-only table whose rows are exported, once each; `at` is the column that
    tells when; `sql` names the query, which gives the exported row the alias `x`."""

    name: str
    title: Any
    table: str
    at: str
    sql: str
    columns: tuple[Column, ...]

    def query(self, which: str) -> str:
        """The query for the rows of `which`: a fragment beside it in `sql/`, e.g. `committed_between`."""
        return load(self.sql).replace("/* which rows */", self.condition(which))

    def count(self, which: str) -> str:
        """How many rows the query will give."""
        return f"SELECT count(*) FROM {self.table} AS x WHERE {self.condition(which)}"  # noqa: S608

    def condition(self, which: str) -> str:
        """The fragment with this table's own time column."""
        return load(f"reporting/{which}").replace("x.at", f"x.{self.at}")


DEFINITIONS: dict[str, Definition] = {}


def define(definition: Definition) -> Definition:
    """Make a kind of bundle known."""
    DEFINITIONS[definition.name] = definition
    return definition


def definition(name: str) -> Definition:
    """The definition of this name. Raises NotFound with a sentence that lists the names."""
    if name not in DEFINITIONS:
        raise NotFound(
            "export_unknown",
            _("There is no export “%(name)s”. There are: %(names)s.")
            % {"name": name, "names": ", ".join(sorted(DEFINITIONS))},
        )
    return DEFINITIONS[name]


define(
    Definition(
        name="decisions",
        title=_("Decisions"),
        table="moderation_decision",
        at="decided_at",
        sql="reporting/decisions",
        columns=(
            Column("decision_id", "text", "决定编号", "id of the decision"),
            Column("submission_id", "text", "提交编号", "id of the submission"),
            Column("external_id", "text", "服务方的提交编号", "the service's own id of the submission"),
            Column("service", "text", "服务代码", "code of the service"),
            Column("user_id", "text", "使用者内部编号", "internal id of the user; no name, no number"),
            Column("outcome", "text", "结果：release 放行，block 拦截", "release or block"),
            Column("decided_by", "text", "作出者：policy 策略，staff 工作人员", "policy or staff"),
            Column("staff", "text", "工作人员用户名", "user name of the member of staff"),
            Column("policy_version", "int", "策略版本", "version of the policy in force for the item"),
            Column("rule", "text", "命中的规则", "the rule that decided or sent it to a person"),
            Column("category", "text", "内容类别", "category of prohibited content"),
            Column("clause", "text", "依据条款", "the clause it rests on"),
            Column("reason", "text", "理由", "the reason given"),
            Column("statement_puid", "text", "理由说明编号", "id of the statement of reasons"),
            Column("restriction", "text", "限制种类", "what was restricted"),
            Column("automated_detection", "bool", "是否自动发现", "whether it was detected automatically"),
            Column("automated_decision", "bool", "是否自动决定", "whether it was decided automatically"),
            Column("appeal_days", "int", "申诉期限（工作日）", "working days to appeal"),
            Column("decided_at", "time", "决定时间（UTC）", "when it was decided, UTC"),
        ),
    )
)

define(
    Definition(
        name="rumor_cases",
        title=_("Rumor cases"),
        table="rumors_caseevent",
        at="at",
        sql="reporting/rumor_cases",
        columns=(
            Column("event_id", "int", "事件编号", "id of the event"),
            Column("at", "time", "事件时间（UTC）", "when it happened, UTC"),
            Column("event", "text", "事件", "what happened"),
            Column("actor", "text", "行为人（工作人员用户名或系统）", "who did it: user name of staff, or the system"),
            Column("detail", "json", "事件详情", "details of the event"),
            Column("case_id", "text", "案件编号（内部）", "internal id of the case"),
            Column("case_number", "text", "案件号", "number of the case"),
            Column("claim", "text", "传言", "the claim"),
            Column("found", "text", "发现途径", "how it was found"),
            Column("opened_at", "time", "立案时间（UTC）", "when the case was opened, UTC"),
            Column("state", "text", "案件状态（制作时）", "state of the case when this bundle was made"),
            Column("verdict", "text", "结论（制作时）", "verdict when this bundle was made: false, true, unverifiable"),
            Column("items", "int", "涉及的提交数（制作时）", "items involved when this bundle was made"),
            Column("refutations", "int", "已发布的辟谣数（制作时）", "refutations published when this bundle was made"),
            Column(
                "reports", "int", "已向主管部门报告次数（制作时）", "reports to authorities when this bundle was made"
            ),
        ),
    )
)
