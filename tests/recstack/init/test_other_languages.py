"""Columns and kinds of events are understood in other languages than English."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recstack.config import StackConfig
from recstack.init import names
from tests.recstack.init.tables import counts, log, stack_of, written

ROLES = {
    "German": ("Kundennummer", "Artikelnummer", "Bestelldatum"),
    "German, short": ("KundenNr", "ArtikelNr", "Zeitpunkt"),
    "Spanish": ("id_cliente", "codigo_producto", "fecha_pedido"),
    "French": ("numéro_client", "id_produit", "date_commande"),
    "Italian": ("codice_cliente", "id_prodotto", "data_ordine"),
    "Portuguese": ("id_cliente", "id_produto", "data"),
    "Dutch": ("klantnummer", "artikelnummer", "besteldatum"),
    "Russian": ("код_клиента", "код_товара", "дата"),
    "Turkish": ("müşteri_no", "ürün_no", "tarih"),
    "Chinese": ("用户编号", "商品编号", "购买时间"),
    "Japanese": ("会員番号", "商品番号", "購入日時"),
    "Korean": ("고객번호", "상품번호", "날짜"),
}
KINDS = {
    "German": ("Aktion", ("angesehen", "Warenkorb", "gekauft")),
    "German, values alone": ("Schritt", ("Klick", "in den Warenkorb", "Bestellung")),
    "Spanish": ("tipo_de_evento", ("visto", "carrito", "compra")),
    "French": ("événement", ("clic", "ajout_panier", "achat")),
    "Italian": ("azione", ("visualizzato", "carrello", "acquistato")),
    "Dutch": ("actie", ("bekeken", "winkelwagen", "gekocht")),
    "Russian": ("событие", ("просмотр", "корзина", "покупка")),
    "Chinese": ("行为", ("浏览", "加购", "购买")),
    "Japanese": ("行動", ("閲覧", "カート", "購入")),
    "Korean": ("행동", ("조회", "장바구니", "구매")),
}


def made(folder: Path, table: pd.DataFrame) -> StackConfig:
    return stack_of(folder, "--interactions", written(table, folder / "log.csv"))


@pytest.mark.parametrize("language", ROLES)
def test_roles_are_found_by_their_names(tmp_path: Path, language: str) -> None:
    user, item, moment = ROLES[language]
    stack = made(tmp_path, log().rename(columns={"user_id": user, "item_id": item, "timestamp": moment}))
    assert dict(stack.pipeline.interactions.columns) == {"user_id": user, "item_id": item, "timestamp": moment}


@pytest.mark.parametrize(
    "language", ["German", *(pytest.param(name, marks=pytest.mark.slow) for name in list(KINDS)[1:])]
)
def test_kinds_of_events_have_their_weights(tmp_path: Path, language: str) -> None:
    column, kinds = KINDS[language]
    of_rows = np.array(kinds)[log().index % 3]
    stack = made(tmp_path, log().assign(**{column: of_rows}))
    assert stack.pipeline.label.event_type_column == column
    assert dict(stack.pipeline.label.event_weights) == dict(zip(kinds, (1.0, 3.0, 5.0), strict=True))
    assert counts(stack, tmp_path)["interactions_read"] == len(log())


def test_kinds_of_events_that_are_not_understood_are_shown_with_the_setting_to_name(tmp_path: Path) -> None:
    made(tmp_path, log().assign(stage=np.random.default_rng(0).choice(["aaa", "bbb"], len(log()))))
    shown = " ".join((tmp_path / "made.toml").read_text().replace("\n#", " ").split())
    assert "(aaa, bbb); use it only if" in shown or "(bbb, aaa); use it only if" in shown
    assert "name it in `pipeline.label.event_type_column`" in shown


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Lieferdatum", ["liefer", "datum"]),
        ("Datum", ["datum"]),
        ("numéro_client", ["numéro", "client"]),
        ("Gerät", ["gerät"]),
        ("KäuferGerät", ["käufer", "gerät"]),
        ("用户id", ["用户", "id"]),
    ],
)
def test_names_are_cut_into_words(name: str, parts: list[str]) -> None:
    assert names.words(name) == parts
