"""Invented rows to learn from: adverts, frauds and ordinary sentences, each put together from parts so that no two are
alike. Nothing in them was ever written by a user."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

# So that rows of one pattern aren't near-duplicates of each other, each ends in a run of common characters.
_COMMON = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"


def _mixed(seed: int, count: int, label: str, patterns: list[str], **parts: list[str]) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    seen: dict[str, None] = {}
    while len(seen) < count:
        pattern = rng.choice(patterns)
        said = pattern.format(**{name: rng.choice(words) for name, words in parts.items()})
        seen.setdefault(f"{said}（{''.join(rng.choices(_COMMON, k=24))}）")
    return [(text, label) for text in seen]


ADVERTS = _mixed(
    1,
    100,
    "spam_advert",
    [
        "{shop}{when}全场{off}，{goods}买一送一，到店即领{gift}",
        "{when}{shop}{goods}清仓特价{off}，前五十名送{gift}",
        "{goods}{off}起，{shop}{when}大促，进店有{gift}",
        "亲，{shop}上新{goods}，{when}下单{off}再送{gift}",
    ],
    shop=["青禾超市", "云杉家具城", "海棠女装店", "老木匠家居", "晨曦烘焙坊", "北斗电器行", "小满花店", "竹里茶庄"],
    when=["本周末", "国庆期间", "今晚八点起", "开业三天", "十一月", "周年庆", "即日起到月底"],
    off=["八折", "五折", "低至三折", "直降两百", "满百减三十"],
    goods=["床垫", "羊毛衫", "电饭煲", "月饼礼盒", "沙发", "儿童鞋", "红茶", "窗帘", "吐司面包", "空调"],
    gift=["鸡蛋一盒", "雨伞一把", "保温杯", "洗衣液", "抱枕", "挂历"],
)
FRAUDS = _mixed(
    2,
    100,
    "fraud",
    [
        "我是{who}的，您的{what}涉嫌{crime}，请立即把钱转到{account}配合核查，不要告诉家人",
        "{who}通知：您的{what}因{crime}将被冻结，请马上提供验证码并转账到{account}",
        "您好，这里是{who}，查到您{what}有{crime}记录，尽快汇款到{account}，否则后果自负",
        "您的{what}卷入{crime}案件，{who}要求今天之内缴纳保证金到{account}，请保密",
    ],
    who=["市公安局", "银行客服", "社保局", "检察院", "快递公司客服", "通信管理局"],
    what=["银行卡", "社保卡", "手机号", "快递包裹", "医保账户", "信用卡"],
    crime=["洗钱", "走私", "违规使用", "非法套现", "冒名办理", "异常交易"],
    account=["安全账户", "指定账户", "核查账户", "监管账户", "临时账户"],
)
ORDINARY = _mixed(
    3,
    100,
    "none",
    [
        "{when}去{place}{act}，{weather}，心情{mood}",
        "{who}说{when}想{act}，我觉得{mood}",
        "{place}的{thing}{mood}，{when}还想再去",
        "{weather}，{who}和我在{place}{act}了一下午",
    ],
    when=["昨天傍晚", "下雨天", "放假的时候", "清晨", "上个月", "小时候"],
    place=["江边", "图书馆", "山顶", "老街", "学校操场", "外婆家", "植物园"],
    act=["散步", "看书", "画画", "放风筝", "写生", "听蝉鸣", "喂猫", "打羽毛球"],
    weather=["天很蓝", "风有点凉", "桂花开了", "雾散了", "雪刚停"],
    mood=["挺好", "特别舒服", "有点怀念", "很安静", "说不出的开心"],
    who=["妹妹", "同桌", "爷爷", "邻居家的孩子", "老同学"],
    thing=["银杏树", "石板路", "旧钟楼", "莲花池", "长椅"],
)


def write_rows(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """Rows as a file of {"text", "label"} lines."""
    path.write_text("".join(json.dumps({"text": t, "label": la}, ensure_ascii=False) + "\n" for t, la in rows))
    return path
