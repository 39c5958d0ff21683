"""The demonstration's cases, made through the commands. Places, offices and addresses are invented."""

from __future__ import annotations

from typing import Any

from moderation.models import Submission
from rumors import cases, refutations, reports
from rumors.models import RumorCase


def fill(service: Any, people: dict[str, Any]) -> None:
    """One case that went all the way and one that is being verified. Nothing happens when there are cases already."""
    if RumorCase.objects.exists():
        return
    officer, moderator = people["compliance_officer"], people["moderator"]
    _closed_case(service, officer, moderator)
    _case_being_verified(officer, moderator)


def _closed_case(service: Any, officer: Any, moderator: Any) -> None:
    claim = "青禾市自来水公司通知：因主管网检修，全市从今晚起停水三天，请市民立即储水。"
    item = (
        Submission.objects.filter(service=service, state="blocked", content__output_text__contains="停水")
        .order_by("id")
        .first()
    )
    if item:
        case = cases.open_case_from_submission(
            submission_id=item.pk, claim=claim, found="desk", found_note="审核时发现仿冒停水通知", by=moderator
        )
    else:
        case = cases.open_case(claim=claim, found="monitoring", found_note="巡查时在业主群截图中发现", by=moderator)
    cases.add_evidence(
        case_id=case.pk,
        text="青禾市自来水公司值班室答复：近期没有停水计划，主管网检修安排在下月，且为分区夜间施工。",
        source="青禾市自来水公司（电话核实）",
        by=officer,
    )
    cases.add_evidence(
        case_id=case.pk,
        text="公司网站“停水公告”栏目最近三十天没有任何公告；通知所用文号不存在。",
        source="青禾市自来水公司网站",
        url="https://water.qinghe.example/notices",
        by=officer,
    )
    cases.conclude(
        case_id=case.pk,
        verdict="false",
        summary="通知系仿冒，文号不存在，供水单位明确否认。",
        by=officer,
    )
    draft = refutations.draft_refutation(
        case_id=case.pk,
        claim="网传“青禾市全市停水三天”的通知",
        title="“青禾市全市停水三天”不实",
        text="近日，网上流传一份“青禾市全市停水三天”的通知。经向青禾市自来水公司核实，该通知系伪造，近期没有全市停水计划。\n\n"
        "供水信息以青禾市自来水公司公告为准，请不要转发不实通知。",
        title_en="No three-day water cut in Qinghe",
        text_en="A notice of a three-day water cut in the whole city of Qinghe is being passed around. The water company"
        " confirms that the notice is forged and that no such cut is planned.",
        sources=["https://water.qinghe.example/notices"],
        channels=["public_page", "in_app"],
        by=officer,
    )
    refutations.publish_refutation(refutation_id=draft.pk, revision=draft.revision, by=officer)
    for kind, department, authority, reference in (
        ("cac", "", "青禾市互联网信息办公室", "青网信收〔2026〕0412号"),
        ("competent_department", "public_security", "青禾市公安局网络安全保卫支队", "青公网受〔2026〕0198号"),
    ):
        reports.record_report(
            case_id=case.pk,
            authority=authority,
            kind=kind,
            department=department,
            level="city",
            reference=reference,
            by=officer,
        )
    cases.close_case(case_id=case.pk, by=officer)


def _case_being_verified(officer: Any, moderator: Any) -> None:
    case = cases.open_case(
        claim="云汐大桥桥墩出现裂缝，明天起禁止一切车辆通行，附“现场照片”。",
        found="complaint",
        found_note="用户举报，照片疑似人工智能生成",
        by=moderator,
    )
    cases.add_evidence(
        case_id=case.pk,
        text="照片中的桥栏样式与云汐大桥不符，护栏编号文字扭曲，元数据带有生成合成标识。",
        source="内部技术核验",
        by=officer,
    )
