"""How shoppers talk: synonyms of catalogue values, values they take for one another, fillers, wrong characters."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    # how English-speaking shoppers say the category and attribute names of catalogues
    "men": ("men", "mens", "men's", "male", "gents"),
    "women": ("women", "womens", "women's", "ladies", "female"),
    "boys": ("boys", "boy", "kids boys"),
    "girls": ("girls", "girl", "kids girls"),
    "grey": ("grey", "gray"),
    "navy blue": ("navy blue", "navy", "dark blue"),
    "off white": ("off white", "ivory"),
    "multi": ("multicolour", "multicolor", "colourful"),
    "maroon": ("maroon", "wine red"),
    "sports": ("sports", "sport", "gym"),
    "formal": ("formal", "office"),
    "ethnic": ("ethnic", "traditional"),
    "tshirts": ("tshirt", "t-shirt", "t shirt", "tee"),
    "shirts": ("shirt", "button down shirt"),
    "casual shoes": ("casual shoes", "sneakers", "casual sneakers"),
    "sports shoes": ("sports shoes", "running shoes", "trainers"),
    "formal shoes": ("formal shoes", "dress shoes", "office shoes"),
    "watches": ("watch", "wrist watch", "wristwatch"),
    "kurtas": ("kurta", "ethnic kurta"),
    "tops": ("top", "blouse"),
    "handbags": ("handbag", "purse", "hand bag"),
    "heels": ("heels", "high heels", "pumps"),
    "sunglasses": ("sunglasses", "shades", "sun glasses"),
    "wallets": ("wallet", "billfold"),
    "flip flops": ("flip flops", "slippers", "chappals"),
    "briefs": ("briefs", "underwear"),
    "backpacks": ("backpack", "rucksack", "school bag"),
    "perfume and body mist": ("perfume", "body mist", "fragrance"),
    "trousers": ("trousers", "pants"),
    "flats": ("flats", "ballerinas", "flat shoes"),
    "dresses": ("dress", "gown"),
    "sarees": ("saree", "sari"),
    "deodorant": ("deodorant", "deo"),
    "lipstick": ("lipstick", "lip colour"),
    "nail polish": ("nail polish", "nail paint"),
    "track pants": ("track pants", "joggers"),
    "sweatshirts": ("sweatshirt", "hoodie"),
    "clutches": ("clutch", "evening bag"),
    "caps": ("cap", "baseball cap"),
    "sweaters": ("sweater", "pullover", "jumper"),
    "jackets": ("jacket", "coat"),
    "ties": ("tie", "necktie"),
    "innerwear vests": ("vest", "undershirt"),
    "nightdress": ("nightdress", "nightgown", "nightie"),
    "night suits": ("night suit", "pyjamas", "pajamas"),
    "necklace and chains": ("necklace", "chain"),
    "ring": ("ring", "finger ring"),
    "kajal and eyeliner": ("kajal", "eyeliner"),
    "duffel bag": ("duffel bag", "gym bag"),
    "laptop bag": ("laptop bag", "computer bag"),
    "free gifts": ("gift", "free gift"),
    "accessory gift set": ("gift set", "accessory set"),
}

NEAR: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("navy", "blue"), ("beige", "white"), ("yellow", "orange"), ("off white", "white"),
        ("cream", "off white"), ("cream", "beige"), ("maroon", "burgundy"), ("maroon", "red"),
        ("burgundy", "red"), ("silver", "steel"), ("silver", "metallic"), ("steel", "metallic"),
        ("charcoal", "grey"), ("charcoal", "black"), ("khaki", "olive"), ("khaki", "beige"),
        ("olive", "green"), ("tan", "brown"), ("rust", "brown"), ("copper", "bronze"), ("gold", "bronze"),
        ("peach", "pink"), ("rose", "pink"), ("magenta", "pink"), ("mauve", "purple"),
        ("lavender", "purple"), ("mustard", "yellow"), ("teal", "turquoise blue"), ("teal", "sea green"),
        ("nude", "skin"), ("nude", "beige"), ("skin", "beige"), ("taupe", "brown"),
        ("casual", "smart casual"), ("formal", "smart casual"), ("unisex", "men"), ("unisex", "women"),
        ("unisex", "boys"), ("unisex", "girls"), ("unisex", "kids"),
    )
)  # fmt: skip
"""Pairs of values that a shopper accepts for one another, lower case. Values that contain one another are near too."""

FILLERS: dict[str, tuple[str, ...]] = {
    "en": ("cheap", "best", "new", "buy", "good quality", "online"),
    "zh": ("便宜的", "好看的", "新款", "推荐", "高品质", "买"),
}

HOMOPHONES = str.maketrans(
    "连裤鞋靴包帽表镜伞杯瓶枕灯椅毯盘耳壳壶球筝熊车裙夹卫红黑白蓝绿紫黄粉棕米条纹格花女男儿童棉麻毛丝皮色",
    "联库邪学饱冒裱竟散背平诊登以谈盼而可胡求争雄扯群甲为洪嘿百篮录子皇份总迷调文阁话钕南而同绵嘛猫思疲涩",
)
"""One wrong character of the same or a similar sound for common ones: how Chinese queries are misspelt."""
