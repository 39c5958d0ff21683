"""Two hundred evasions of twenty terms are found, two thousand ordinary sentences are not (issue "screening")."""

import csv
import json
import random
from pathlib import Path

import pytest

from moderation.matching import Matcher, Term
from moderation.normalisation import normalise
from moderation.spelling import OPTIONS, default_options

ROOT = Path(__file__).resolve().parents[2]
ORDINARY_POSTS = ROOT.parent / "shared" / "data" / "evaluate" / "ordinary_posts.jsonl"

# For each term ten ways in which people write it so that machines don't read it: width, traditional characters, what can't
# be seen, symbols and emoji between, spaces, pinyin, initials, same-sounding characters, parts, look-alikes, repetitions.
EVASIONS = {
    "刷单返利": ["刷単返利", "刷\u200b单\u200b返\u200b利", "刷*单*返*利", "shua单返利", "刷dan返利", "刷丹返利", "刷单反力", "sdfl", "刷刷单单返返利利", "尸巾刂单返利"],
    "加微信": ["加微❤", "➕微信", "加薇信", "加v信", "加wei信", "加 微 信", "加威信", "加微亻言", "加ｗx", "加🌟微🌟信"],
    "网络赌博": ["網絡賭博", "网络du博", "网络睹博", "网 络 赌 博", "wangluodubo", "网.络.赌.博", "网络赌bo", "网络贝者博", "wldb", "网络赌̶博̶"],
    "百家乐": ["百佳乐", "百家樂", "百\u200d家\u200d乐", "baijiale", "百家le", "佰家乐", "百🎲家🎲乐", "百-家-乐", "百加乐", "百百家家乐乐"],
    "六合彩": ["6合彩", "六和彩", "六合采", "liuhecai", "六/合/彩", "陆合彩", "六合cai", "６合彩", "六\n合\n彩\n", "六㊅合彩"],
    "冰毒": ["氷毒", "冰*毒", "bing毒", "冰du", "冰\u2060毒", "冰 毒", "冰冰毒毒", "冫水毒", "【冰】【毒】", "冰督"],
    "摇头丸": ["搖頭丸", "摇tou丸", "摇头完", "yaotouwan", "摇_头_丸", "瑶头丸", "摇头wan", "摇💊头💊丸", "ytw", "摇偷玩"],
    "大麻叶": ["大嘛叶", "da麻叶", "大麻葉", "大麻ye", "大·麻·叶", "大\u00ad麻\u00ad叶", "大麻业", "damaye", "大麻口十", "大大麻麻叶"],
    "买卖枪支": ["買賣槍支", "买卖qiang支", "买卖木仓支", "买卖抢支", "买卖枪枝", "卖买枪支买卖枪★支", "maimaiqiangzhi", "买 卖 枪 支", "mmqz", "买卖墙支"],
    "裸聊": ["裸*聊", "luo聊", "裸liao", "果聊裸◆聊", "衤果聊", "祼聊", "裸\ufeff聊", "裸 聊", "l聊", "裸裸聊聊"],
    "援交妹": ["援交mei", "yuan交妹", "援郊妹", "援✨交✨妹", "援焦妹", "援\u3000交\u3000妹", "元交妹", "援交女未", "yuanjiaomei", "援​交​妹"],
    "代开发票": ["代開發票", "带开发票", "代开fa票", "dai开发票", "代开发漂", "代.开.发.票", "dkfp", "代开发嫖", "弋开发票代开发🎫票", "代开發piao"],
    "办假证": ["辦假證", "办假证件办+假+证", "办jia证", "ban假证", "半假证", "办假正", "办假讠正", "办🔖假🔖证", "banjiazheng", "办 假 证"],
    "高利贷": ["高莉贷", "高li贷", "高利代贝", "高利dai", "gaolidai", "高❗利❗贷", "高立贷", "高 利 贷", "高利貸", "高利带"],
    "信用卡套现": ["信用卡tao现", "信用咔套现", "亻言用卡套现", "信用卡套線", "xinyongka套现", "信用卡.套.现", "xyktx", "新用卡套现", "信用卡套显", "信˙用˙卡˙套˙现"],
    "杀猪盘": ["shazhupan", "殺豬盤", "杀zhu盘", "杀朱盘", "沙猪盘", "杀🐷猪🐷盘", "杀猪pan", "杀|猪|盘", "杀犭者盘", "杀猪潘"],
    "迷药": ["米药", "迷yao", "mi药", "迷藥", "迷⭐药", "辶米药", "迷\u200c药", "m药", "迷迷药药", "迷💊"],
    "安全账户": ["安全帐户", "安全賬戶", "安quan账户", "安全zhang户", "anquanzhanghu", "安全账沪", "安*全*账*户", "安铨账户", "aqzh", "安全贝长户"],
    "身份证号": ["身fen证号", "身份證號", "身份zheng号", "shenfenzhenghao", "伸份证号", "身亻分证号", "身份证hao", "身/份/证/号", "身分证号", "sfzh"],
    "校园贷款": ["校園貸款", "校园dai款", "xiaoyuandaikuan", "校园带款", "校园代贝款", "校 园 贷 款", "校圆贷款", "校园贷kuan", "校☆园☆贷☆款", "木交园贷款"],
}  # fmt: skip
AROUND = ["{}", "诚招{}，长期有效", "想了解{}的朋友看这里", "今天说说{}！", "（{}）联系我", "就是{}。"]


def all_on(value):
    return dict.fromkeys(OPTIONS, True)


def matcher(values, options):
    return Matcher([Term(number, 1, value, "fraud", 3, options=options(value)) for number, value in enumerate(values)])


def test_there_are_two_hundred_evasions_of_twenty_terms():
    assert len(EVASIONS) == 20
    assert {len(ways) for ways in EVASIONS.values()} == {10}
    for value, ways in EVASIONS.items():
        assert len(set(ways)) == 10
        assert value not in ways


@pytest.mark.parametrize("around", AROUND)
def test_at_least_95_per_cent_of_evasions_are_found(around):
    """The whole disguise is marked, with nothing of the sentence around it."""
    looking = matcher(EVASIONS, all_on)
    missed = []
    for value, ways in EVASIONS.items():
        for way in ways:
            text = around.format(way)
            begin = around.index("{")
            hits = [hit for hit in looking.find(normalise(text)) if hit.term.value == value]
            if not any(begin <= hit.start < hit.end <= begin + len(way) for hit in hits):
                missed.append((value, way))
    assert len(missed) <= 10, missed


def test_with_the_proposed_options_nearly_as_many_are_found():
    looking = matcher(EVASIONS, default_options)
    missed = [
        (value, way)
        for value, ways in EVASIONS.items()
        for way in ways
        if not any(hit.term.value == value for hit in looking.find(normalise(f"快来{way}吧")))
    ]
    assert len(missed) <= 20, missed


# Clauses of everyday life, none about any of the terms, some about things whose names sound or look like them.
CLAUSES = """
早上起来先喝一杯温水|今天的地铁比平时挤一些|楼下的包子铺换了新老板|孩子第一次自己系好了鞋带|周末打算去郊外摘草莓|妈妈寄来的腊肉收到了
会议改到下午三点半|项目进度比计划快了两天|请把表格发到我的邮箱|新来的同事很爱笑|老板说明年要扩大团队|面试官问了三个技术问题
这家店的牛肉面汤很鲜|番茄炒蛋要先放糖|豆腐切成小块焯一下水|冰箱里只剩两颗鸡蛋|我不太能吃辣|泡菜要腌一周才入味
台风把阳台的花盆吹倒了|北京今天最高气温三十六度|南方的雨季快要结束了|昨晚下了一场大雪|雾很大高速封路了|空气质量是良好
高铁票已经订好了|飞机晚点了四十分钟|民宿的老板送了我们一份地图|山顶的日出值得早起|古城的石板路有点滑|海边的民谣歌手唱得真好
这本小说我读了三遍|图书馆九点关门|作者在书里写了他的童年|诗歌比散文更难翻译|我更喜欢纸质书|课文要求背诵第二段
期末考试安排在下个月|数学老师讲得很清楚|同桌借给我一支铅笔|他考上了心仪的大学|实验报告周五之前交|毕业论文终于定稿了
医生建议多休息少熬夜|体检报告一切正常|牙疼了一个晚上|感冒药要饭后吃|老人血压有点偏高|孩子退烧了不用担心
小猫把毛线球滚到了床底|狗狗很喜欢新买的玩具|金鱼需要隔天换水|公园里来了几只野鸭|仓鼠半夜总在跑轮子|兽医说它只是吃多了
球队在最后一分钟扳平比分|他每天坚持跑五公里|游泳课从蛙泳学起|瑜伽老师让我们闭上眼睛|羽毛球拍断了一根线|世界杯决赛在周日凌晨
电影的结尾让人意外|女主角演得很自然|主题曲一响我就哭了|这部纪录片拍了六年|导演说灵感来自家乡|周末看了场话剧
手机屏幕碎了一个角|软件更新以后更流畅|键盘的空格键有点松|电脑风扇声音太大|路由器要放在客厅中央|充电线又找不到了
物业通知明天停水|小区新装了充电桩|楼道的灯坏了两天|邻居送来一盘饺子|搬家公司下午两点到|房东答应换一个热水器
阳台上的薄荷长得很快|番茄苗要搭架子|院子里的桂花开了|多肉不能浇太多水|春天适合移栽月季|爷爷种的丝瓜结果了
奶奶教我包粽子|表妹下个月结婚|爸爸又在修他的旧收音机|全家一起拍了照片|小侄子会叫人了|外婆的生日在中秋前一天
超市的苹果打八折|快递放在门口的柜子里|这件外套有三种颜色|鞋子买大了半码|客服很耐心地解释了退货流程|满两百减二十的券快过期了
公交车改了线路|骑车要戴好头盔|路口的红灯时间有点长|停车场还有十几个空位|新能源车的续航够用了|加油站的便利店有热咖啡
博物馆周一闭馆|展览里有一件青铜器|讲解员说这幅画有三百年|古琴的声音很安静|剪纸是她的拿手手艺|书法比赛他得了二等奖
志愿者在河边捡垃圾|社区组织了反诈讲座|献血之后要多喝水|山区的孩子收到了新书包|环保袋可以重复使用|垃圾分类越来越方便
银行网点四点半下班|她把零钱存进了储蓄罐|信用社门口排着队|记账让我花得更明白|工资月底发|保险合同要看清条款
老虎在动物园里打盹|机会总是留给有准备的人|独自播种的农民很辛苦|他强制自己早睡|密钥要妥善保管|威信是慢慢建立起来的
音乐会的票很难抢|钢琴每年要调一次音|吉他社团招新了|他写的歌词很有画面感|合唱队正在排练|耳机的低音很足
地质公园的溶洞很凉快|火山灰让土壤更肥沃|候鸟飞过湿地|珊瑚对水温很敏感|沙漠里也有湖|化石埋在岩层里
程序员在检查一个奇怪的问题|函数的返回值写错了|数据库需要备份|测试用例覆盖了主要场景|代码评审提出了几点意见|新版本周三上线
面粉和水的比例是二比一|烤箱预热到一百八十度|奶油打到有纹路|巧克力隔水融化|蛋糕晾凉再脱模|黄油提前拿出来软化
月亮今晚特别圆|流星雨后半夜最好看|望远镜要避开灯光|火箭把卫星送入轨道|宇航员在空间站过年|星图可以下载到手机
律师说合同第五条要改|法庭定在下周开庭|当事人双方愿意调解|证据需要原件|公证处要提前预约|条款写得很清楚
记者去了三个村子采访|报道刊登在第四版|编辑把标题改短了|摄影师等了一夜|读者来信很多|版面明天定稿
裁缝把裤脚改短了|毛衣起球了|围巾织到一半|缝纫机是外婆留下的|扣子掉了一颗|布料选了棉麻
他用爱发电做了十年字幕|家的味道就是那碗汤|围巾和手套是一套|为新同学准备了欢迎会|阅读品味因人而异|这次带款式册子过来
台阶上长了青苔要小心|他把旧报纸捆好送走|窗帘换成了浅灰色|早市的豆浆两块钱一杯|邮局的小姐姐帮我填了单子|她刷完碗又拖了地
单位食堂今天有红烧肉|体育课测了八百米|他把微波炉擦得锃亮|信封上贴了两张邮票|合影时大家都笑了|彩虹出现在雨后的山谷
安静的房间适合写作业|全班同学给老师写了卡片|账单已经核对清楚|户外活动要带够水|校门口的梧桐树落叶了|园丁在修剪灌木
办公室的打印机卡纸了|证书要下周才能领|代表们陆续到了会场|开车的时候别看手机|发动机的声音有点怪|票根可以留作纪念
杀菌用开水烫一下就行|猪肉价格这周降了|盘子要轻拿轻放|迷宫一共有三个出口|药店就在转角|援助物资已经送到
""".replace("\n", "|").strip("|").split("|")  # fmt: skip
LINKS = ["，", "，", "，", "。", "，而且", "，所以", "；", "，不过", "，听说", "！"]
ENDS = ["。", "。", "！", "～", "", "😊", "…", "？"]
LATIN = ["", "", "", "", "APP", "wifi", "PPT", "vlog", "OK", "A股", "T恤", "3D", "5G", "KTV", "NBA"]


def ordinary_sentences(number):
    draw = random.Random(20260)
    made = set()
    while len(made) < number:
        clauses = draw.sample(CLAUSES, draw.randint(1, 4))
        sentence = clauses[0]
        for clause in clauses[1:]:
            sentence += draw.choice(LINKS) + clause
        latin = draw.choice(LATIN)
        at = draw.choice([0, len(sentence)])
        made.add(sentence[:at] + latin + sentence[at:] + draw.choice(ENDS))
    return sorted(made)


def test_of_2000_ordinary_sentences_less_than_half_a_per_cent_are_hit():
    assert len(CLAUSES) == len(set(CLAUSES)) >= 200
    looking = matcher(EVASIONS, all_on)
    hit = {text: looking.find(normalise(text)) for text in ordinary_sentences(2000)}
    wrong = [(text, [text[h.start : h.end] for h in hits]) for text, hits in hit.items() if hits]
    assert len(wrong) < 10, wrong


def test_the_shipped_terms_leave_ordinary_posts_alone():
    """Term false positives on real posts < 1 %, with the proposed options (measured, not shipped)."""
    if not ORDINARY_POSTS.exists():
        pytest.skip("the shared ordinary_posts.jsonl is not beside this checkout")
    with (ROOT / "moderation" / "data" / "terms.csv").open(encoding="utf-8", newline="") as opened:
        values = [row["value"] for row in csv.DictReader(opened) if row["kind"] == "term"]
    looking = matcher(values, default_options)
    with ORDINARY_POSTS.open(encoding="utf-8") as opened:
        posts = [json.loads(line)["text"] for line in opened]
    hit = sum(bool(looking.find(normalise(post))) for post in posts)
    assert hit / len(posts) < 0.01
