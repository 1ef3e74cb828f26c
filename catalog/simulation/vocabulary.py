"""The words and colours of the made-up shop, in English and Chinese.

Every value has a canonical English key; `Words.en` and `Words.zh` list its surface forms, the usual one first.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Surface forms of one value, the usual one first."""

    en: tuple[str, ...]
    zh: tuple[str, ...]


@dataclass(frozen=True)
class ProductType:
    """One kind of product: what it is called, where it stands in the tree, what it is made of and for."""

    key: str
    label: str
    words: Words
    department: str
    silhouette: str
    price: float
    audience: tuple[str, ...]
    materials: tuple[str, ...]
    usages: tuple[str, ...]


DEPARTMENTS = {
    "Clothing": "服饰",
    "Shoes": "鞋靴",
    "Accessories": "配饰",
    "Home": "家居",
    "Electronics": "数码",
    "Toys": "玩具",
}

COLOURS: dict[str, tuple[Words, tuple[int, int, int]]] = {
    "black": (Words(("black",), ("黑色", "黑")), (34, 34, 38)),
    "white": (Words(("white",), ("白色", "白")), (238, 238, 234)),
    "grey": (Words(("grey", "gray"), ("灰色", "灰")), (136, 138, 142)),
    "red": (Words(("red", "scarlet"), ("红色", "大红")), (200, 32, 40)),
    "pink": (Words(("pink",), ("粉色", "粉红色")), (240, 150, 180)),
    "orange": (Words(("orange",), ("橙色", "橘色")), (238, 128, 32)),
    "yellow": (Words(("yellow",), ("黄色", "明黄色")), (242, 208, 52)),
    "green": (Words(("green",), ("绿色", "草绿色")), (52, 140, 74)),
    "blue": (Words(("blue",), ("蓝色", "天蓝色")), (48, 112, 210)),
    "navy": (Words(("navy", "navy blue"), ("藏青色", "深蓝色")), (26, 38, 88)),
    "purple": (Words(("purple", "violet"), ("紫色",)), (124, 66, 160)),
    "brown": (Words(("brown",), ("棕色", "咖啡色")), (112, 72, 44)),
    "beige": (Words(("beige", "cream"), ("米色", "杏色")), (222, 204, 168)),
}

PATTERNS: dict[str, Words] = {
    "plain": Words(("plain", "solid"), ("纯色", "素色")),
    "striped": Words(("striped", "stripe"), ("条纹",)),
    "dotted": Words(("dotted", "polka dot"), ("波点", "圆点")),
    "checked": Words(("checked", "plaid"), ("格子", "格纹")),
    "floral": Words(("floral", "flower"), ("碎花", "印花")),
    "zigzag": Words(("zigzag", "chevron"), ("锯齿纹", "波浪纹")),
}

AUDIENCES: dict[str, Words] = {
    "women": Words(("women", "womens", "ladies"), ("女", "女士", "女款")),
    "men": Words(("men", "mens", "male"), ("男", "男士", "男款")),
    "kids": Words(("kids", "children"), ("儿童", "童")),
    "unisex": Words(("unisex",), ("男女通用", "中性")),
}

MATERIALS: dict[str, Words] = {
    "cotton": Words(("cotton",), ("棉", "纯棉")),
    "linen": Words(("linen",), ("亚麻",)),
    "wool": Words(("wool", "woolen"), ("羊毛",)),
    "silk": Words(("silk",), ("真丝", "丝绸")),
    "denim": Words(("denim",), ("牛仔布", "牛仔")),
    "polyester": Words(("polyester",), ("涤纶",)),
    "leather": Words(("leather",), ("真皮", "皮革")),
    "canvas": Words(("canvas",), ("帆布",)),
    "suede": Words(("suede",), ("麂皮",)),
    "mesh": Words(("mesh",), ("网面",)),
    "nylon": Words(("nylon",), ("尼龙",)),
    "metal": Words(("metal", "steel"), ("金属", "不锈钢")),
    "ceramic": Words(("ceramic", "porcelain"), ("陶瓷",)),
    "glass": Words(("glass",), ("玻璃",)),
    "wood": Words(("wooden", "wood"), ("实木", "木质")),
    "bamboo": Words(("bamboo",), ("竹制",)),
    "velvet": Words(("velvet",), ("丝绒",)),
    "plastic": Words(("plastic",), ("塑料",)),
    "silicone": Words(("silicone",), ("硅胶",)),
    "rubber": Words(("rubber",), ("橡胶",)),
    "plush": Words(("plush",), ("毛绒",)),
}

USAGES: dict[str, Words] = {
    "casual": Words(("casual", "everyday"), ("休闲", "日常")),
    "sports": Words(("sports", "gym"), ("运动", "健身")),
    "office": Words(("office", "work"), ("办公", "通勤")),
    "party": Words(("party", "evening"), ("派对", "晚宴")),
    "outdoor": Words(("outdoor", "hiking"), ("户外", "登山")),
    "travel": Words(("travel",), ("旅行", "出差")),
    "bedroom": Words(("bedroom",), ("卧室",)),
    "kitchen": Words(("kitchen",), ("厨房",)),
    "living room": Words(("living room",), ("客厅",)),
    "gaming": Words(("gaming",), ("游戏", "电竞")),
    "birthday": Words(("birthday",), ("生日",)),
    "school": Words(("school",), ("上学", "学生")),
}

_WEAR = ("cotton", "linen", "wool", "silk", "denim", "polyester")
_SHOE = ("leather", "canvas", "suede", "mesh")
_BAG = ("leather", "canvas", "nylon")
_ADULT = ("women", "men", "unisex")
_ALL = ("women", "men", "kids", "unisex")
_DAILY = ("casual", "office", "party", "travel")
_ACTIVE = ("casual", "sports", "outdoor", "school")
_ROOM = ("bedroom", "living room", "office")
_TABLE = ("kitchen", "party", "office")
_SOUND = ("gaming", "travel", "office", "sports")
_PLAY = ("birthday", "outdoor", "school")


def _type(
    key: str, label: str, en: str, zh: str, department: str, price: float,
    audience: tuple[str, ...], materials: tuple[str, ...], usages: tuple[str, ...],
) -> ProductType:  # fmt: skip
    words = Words(tuple(en.split("|")), tuple(zh.split("|")))
    return ProductType(key, label, words, department, key, price, audience, materials, usages)


TYPES: tuple[ProductType, ...] = (
    _type("dress", "Dresses", "dress|gown|frock", "连衣裙|裙装", "Clothing", 48, ("women", "kids"), _WEAR, _DAILY),
    _type("tshirt", "T-shirts", "t-shirt|tee|tshirt", "T恤|短袖", "Clothing", 18, _ALL, _WEAR[:3], _ACTIVE),
    _type("skirt", "Skirts", "skirt|mini skirt", "半身裙|短裙", "Clothing", 32, ("women", "kids"), _WEAR, _DAILY),
    _type("trousers", "Trousers", "trousers|pants", "长裤|裤子", "Clothing", 38, _ALL, _WEAR, _DAILY),
    _type("jacket", "Jackets", "jacket|coat", "夹克|外套", "Clothing", 75, _ALL, (*_WEAR, "leather"), _ACTIVE),
    _type("hoodie", "Hoodies", "hoodie|sweatshirt", "卫衣|连帽衫", "Clothing", 42, _ALL, _WEAR[:3], _ACTIVE),
    _type(
        "sneaker", "Sneakers", "sneakers|trainers|running shoes", "运动鞋|跑鞋|球鞋", "Shoes", 68, _ALL, _SHOE, _ACTIVE
    ),
    _type(
        "boot", "Boots", "boots|ankle boots", "靴子|短靴", "Shoes", 92, _ADULT, _SHOE, ("casual", "outdoor", "office")
    ),
    _type("heel", "High heels", "heels|pumps|high heels", "高跟鞋|细跟鞋", "Shoes", 64, ("women",), _SHOE[:3], _DAILY),
    _type(
        "handbag",
        "Handbags",
        "handbag|purse|tote",
        "手提包|女包|包包",
        "Accessories",
        82,
        ("women", "unisex"),
        _BAG,
        _DAILY,
    ),
    _type("backpack", "Backpacks", "backpack|rucksack", "双肩包|背包|书包", "Accessories", 52, _ALL, _BAG, _ACTIVE),
    _type("cap", "Caps", "cap|baseball cap|hat", "帽子|棒球帽", "Accessories", 16, _ALL, _WEAR[:3], _ACTIVE),
    _type(
        "watch",
        "Watches",
        "watch|wristwatch",
        "手表|腕表",
        "Accessories",
        120,
        _ADULT,
        ("metal", "leather", "silicone"),
        _DAILY,
    ),
    _type(
        "sunglasses",
        "Sunglasses",
        "sunglasses|shades",
        "太阳镜|墨镜",
        "Accessories",
        34,
        _ADULT,
        ("plastic", "metal"),
        _DAILY,
    ),
    _type(
        "umbrella",
        "Umbrellas",
        "umbrella|parasol",
        "雨伞|遮阳伞",
        "Accessories",
        20,
        ("unisex",),
        ("nylon", "polyester"),
        ("outdoor", "travel"),
    ),
    _type("mug", "Mugs", "mug|cup|coffee cup", "马克杯|杯子", "Home", 11, (), ("ceramic", "glass", "metal"), _TABLE),
    _type("vase", "Vases", "vase|flower vase", "花瓶|花器", "Home", 26, (), ("ceramic", "glass", "metal"), _ROOM),
    _type(
        "cushion", "Cushions", "cushion|throw pillow", "抱枕|靠垫", "Home", 19, (), ("cotton", "velvet", "linen"), _ROOM
    ),
    _type(
        "lamp",
        "Table lamps",
        "lamp|desk lamp|table lamp",
        "台灯|床头灯",
        "Home",
        44,
        (),
        ("metal", "wood", "ceramic"),
        _ROOM,
    ),
    _type(
        "chair",
        "Chairs",
        "chair|dining chair",
        "椅子|餐椅",
        "Home",
        86,
        (),
        ("wood", "metal", "plastic"),
        ("kitchen", "office", "living room"),
    ),
    _type("rug", "Rugs", "rug|carpet", "地毯|地垫", "Home", 58, (), ("wool", "cotton", "polyester"), _ROOM),
    _type("plate", "Plates", "plate|dinner plate", "盘子|餐盘", "Home", 13, (), ("ceramic", "glass", "bamboo"), _TABLE),
    _type(
        "headphones",
        "Headphones",
        "headphones|headset",
        "耳机|头戴式耳机",
        "Electronics",
        79,
        (),
        ("plastic", "metal"),
        _SOUND,
    ),
    _type(
        "speaker",
        "Speakers",
        "speaker|bluetooth speaker",
        "音箱|音响",
        "Electronics",
        62,
        (),
        ("plastic", "metal", "wood"),
        ("party", "outdoor", "living room"),
    ),
    _type(
        "phonecase",
        "Phone cases",
        "phone case|phone cover",
        "手机壳|保护壳",
        "Electronics",
        12,
        (),
        ("silicone", "plastic", "leather"),
        ("casual", "office", "outdoor"),
    ),
    _type(
        "kettle",
        "Kettles",
        "kettle|electric kettle",
        "电水壶|热水壶",
        "Electronics",
        36,
        (),
        ("metal", "glass", "plastic"),
        ("kitchen", "office", "travel"),
    ),
    _type(
        "ball",
        "Balls",
        "ball|play ball",
        "皮球|球",
        "Toys",
        9,
        (),
        ("rubber", "plastic"),
        ("outdoor", "school", "sports"),
    ),
    _type("kite", "Kites", "kite", "风筝", "Toys", 14, (), ("nylon", "polyester"), ("outdoor", "birthday")),
    _type(
        "bear",
        "Teddy bears",
        "teddy bear|teddy|plush bear",
        "玩具熊|泰迪熊",
        "Toys",
        22,
        (),
        ("plush", "cotton"),
        ("birthday", "bedroom"),
    ),
    _type(
        "toycar", "Toy cars", "toy car|model car", "玩具车|小汽车", "Toys", 15, (), ("plastic", "metal", "wood"), _PLAY
    ),
)

BRANDS: tuple[str, ...] = (
    "Norvik", "Lumora", "Tavino", "Brightfox", "Okello", "Marenda", "Sunhill", "Veloza", "Kipra", "Dunmore", "Aurelle",
    "Fennick", "Corvano", "Pinewell", "Zelby", "Hartley Row", "Mistral Co", "Ondine", "Ravello", "Skyloft", "Tamsin",
    "云杉", "青禾", "山海集", "星野", "白鹭", "木言", "晴川", "小鹿家", "南屿", "知秋",
    "橙果", "北辰", "拾光", "锦和", "飞鱼",
)  # fmt: skip

ADJECTIVES: tuple[tuple[str, str], ...] = (
    ("classic", "经典"), ("lightweight", "轻便"), ("modern", "现代"), ("vintage", "复古"), ("soft", "柔软"),
    ("everyday", "百搭"), ("premium", "高级"), ("cosy", "舒适"), ("slim", "修身"), ("handmade", "手工"),
    ("minimal", "简约"), ("durable", "耐用"), ("elegant", "优雅"), ("fun", "趣味"), ("essential", "基础款"),
)  # fmt: skip

GOOD_REVIEWS: tuple[tuple[str, str], ...] = (
    ("Exactly as pictured, I would buy it again.", "和图片一样，会再买。"),
    ("Great quality for the price.", "性价比很高，质量很好。"),
    ("My favourite purchase this year.", "今年买得最满意的一件。"),
    ("Well made and arrived quickly.", "做工很好，发货也快。"),
    ("Everyone asks me where I got it.", "朋友都问我在哪里买的。"),
)
BAD_REVIEWS: tuple[tuple[str, str], ...] = (
    ("It broke after a week.", "用了一周就坏了。"),
    ("Looks cheaper than I hoped.", "看起来比想象中廉价。"),
    ("Not worth the money.", "不值这个价。"),
    ("I sent it back.", "已经退货了。"),
    ("Poor finish, loose ends everywhere.", "做工粗糙，到处是线头。"),
)
