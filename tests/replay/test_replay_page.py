"""The page: the numbers of the store, no request, no markup of users, the same bytes, and small."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import numpy as np
import pytest
from inspections import made_up, of_table
from replays import LABEL, data_in, plane, run_replay, study_replay
from report_runs import point, sizes_runs, sizes_study
from table_runs import diverged, finished

from jmlp.replay.content import MOST_CONFIGURATIONS, MOST_NETWORKS, QUANTITIES, chosen_runs
from jmlp.replay.page import page
from jmlp.results.curves import mean_curve
from jmlp.results.tables.runs_by_configuration import collect
from jmlp.study.config import Experiment, Hyperparams, Study

MOST_BYTES = 5_000_000
EVIL = "</script><b>&\"'<!--\u2028\u202e"


class Parser(HTMLParser):
    """The tags of a page, with their attributes, and the texts of its scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside].append(data)


def parsed(text: str) -> Parser:
    parser = Parser()
    parser.feed(text)
    parser.close()
    return parser


PAGES = {
    "run": page(run_replay()),
    "table": page(run_replay(of_table())),
    "plane": page(run_replay(plane()[0], boundary=plane()[1])),
    "study": page(study_replay()),
}


# ---- numbers


def test_curves_of_a_run_are_its_evaluations() -> None:
    run = sizes_runs()[0]
    (experiment,) = data_in(PAGES["run"])["experiments"]
    (shown,) = experiment["configurations"]
    for quantity in QUANTITIES:
        assert shown["curves"][quantity] == {
            "epoch": [p.epoch for p in run.costs],
            "mean": [getattr(p, quantity) for p in run.costs],
            "low": None,
            "high": None,
        }


def test_curves_of_a_study_are_the_means_and_bands_of_its_report() -> None:
    study, runs = sizes_study(), sizes_runs()
    (experiment,) = data_in(PAGES["study"])["experiments"]
    arms = collect(study.experiments[0], runs)
    assert len(experiment["configurations"]) == len(arms) == 3
    n_bands = 0
    for shown, arm in zip(experiment["configurations"], arms, strict=True):
        for quantity in QUANTITIES:
            curve = mean_curve([run.costs for run in arm.finished], quantity)
            found = shown["curves"][quantity]
            assert found["epoch"] == curve.epoch.tolist()
            assert found["mean"] == curve.mean.tolist()
            if found["low"] is None:
                assert len(arm.finished) < 3
                continue
            for edge in ("low", "high"):
                n_bands += 1
                wanted = [None if np.isnan(v) else v for v in getattr(curve, edge).tolist()]
                assert found[edge] == wanted
    assert n_bands == 16


def test_a_run_that_diverged_is_shown_as_diverged_and_enters_no_mean() -> None:
    first = data_in(PAGES["study"])["experiments"][0]["configurations"][0]
    assert first["diverged"] == [{"seed": 1, "epoch": 3, "update": 150}]
    assert first["about"] == "3 seeds, 1 diverged"
    run = diverged(Hyperparams(), 0, 7)
    broken = replace(made_up(), best=None, diverged_at=7)
    costs = (point(0, 2.3), replace(point(1, 1.0), validation_cost=float("nan")))
    text = page(run_replay(broken, costs, result=run, state="diverged"))
    assert "Diverged at update 7" in text
    shown = data_in(text)
    assert shown["networks"][0]["diverged_at"] == 7
    assert shown["networks"][0]["best"] is None
    curve = shown["experiments"][0]["configurations"][0]["curves"]["validation_cost"]
    assert curve["mean"] == [2.3]
    assert not re.search(r"\b(NaN|Infinity)\b", str(shown))


def test_the_networks_of_a_study_are_those_of_the_first_seeds() -> None:
    study, runs = sizes_study(), sizes_runs()
    chosen = chosen_runs(study, runs)
    assert [(run.hyperparams.batch_size, run.seed) for run in chosen] == [
        (16, 0),
        (64, 0),
        (128, 0),
    ]
    shown = data_in(PAGES["study"])
    places = [c["network"] for c in shown["experiments"][0]["configurations"]]
    assert places == [0, 1, 2]
    assert [n["seed"] for n in shown["networks"]] == [0, 0, 0]
    without = [run for run in runs if run.seed > 0]
    assert [run.seed for run in chosen_runs(study, without)] == [1, 1, 1]
    at_once = [replace(run, diverged_at=0) if run.status == "diverged" else run for run in without]
    assert [run.seed for run in chosen_runs(study, at_once)] == [1, 1]


def test_a_run_that_has_not_ended_says_so() -> None:
    text = page(run_replay(result=None, state="running", epoch=3))
    assert "Not ended (running, epoch 3)" in text
    assert "Outcome" not in text


def test_the_heading_of_a_study_is_its_name_in_the_store() -> None:
    assert f'<p class="eyebrow">Study {LABEL}</p>' in PAGES["study"]
    unnamed = page(study_replay(replace(sizes_study(), title="")))
    assert f"<h1>{LABEL}</h1>" in unnamed


def test_no_line_ends_before_a_sign_of_per_cent_but_the_study_file_is_as_it_was() -> None:
    texts = PAGES["run"].split("<script")[0]
    assert re.search(r"\d\N{NO-BREAK SPACE}%", texts)
    assert not re.search(r"\d %", texts.split("</style>")[1])
    assert "# 98 % of it" in page(study_replay(toml="# 98 % of it"))


# ---- safety


def hostile_page() -> str:
    named = replace(made_up(), class_names=(EVIL, *map(str, range(1, 10))))
    study = replace(sizes_study(), title=EVIL, notes=(EVIL,))
    experiments = tuple(replace(e, title=EVIL) for e in study.experiments)
    return page(study_replay(replace(study, experiments=experiments), None, named, EVIL))


def test_names_of_users_are_never_markup() -> None:
    text = hostile_page()
    found = parsed(text)
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert "b" not in {tag for tag, _ in found.tags}
    shown = data_in(text)
    escaped = EVIL.replace("\u2028", "\\u2028").replace("\u202e", "\\u202e")
    assert shown["networks"][0]["classes"][0] == escaped
    assert shown["experiments"][0]["title"] == escaped
    (data, _) = found.texts["script"]
    assert not set("<>&\u2028\u202e") & set(data)
    assert "&lt;/script&gt;&lt;b&gt;" in text
    assert "\u202e" not in text


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    text = PAGES[name]
    found = parsed(text)
    for tag, attributes in found.tags:
        assert "src" not in attributes
        assert tag not in ("iframe", "object", "embed", "img", "base", "form")
        if tag == "link":
            assert attributes == {"rel": "icon", "href": "data:,"}
        elif "href" in attributes:
            assert str(attributes["href"]).startswith("#")
    # The namespace of SVG is a name, and not loaded.
    without = text.replace("http://www.w3.org/2000/svg", "")
    for loaded in ("http:", "https:", "src=", "@import", "url(", "fetch(", "import("):
        assert loaded not in without


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_allows_this_script_and_this_style_alone(name: str) -> None:
    found = parsed(PAGES[name])
    (policy,) = (
        str(attributes["content"])
        for tag, attributes in found.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    (_, script), (style,) = found.texts["script"], found.texts["style"]
    for directive, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[directive] == f"'sha256-{digest}'"
    assert not any("style" in attributes for _, attributes in found.tags)
    assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)


def test_the_script_makes_no_markup_of_texts() -> None:
    script = resources.files("jmlp.replay").joinpath("replay.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_controls_have_names_and_ids_are_unique() -> None:
    found = parsed(PAGES["study"])
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    script = resources.files("jmlp.replay").joinpath("replay.js").read_text(encoding="utf-8")
    assert set(re.findall(r'get\("([\w-]+)"\)', script)) <= set(ids)
    for _, attributes in found.tags:
        if attributes.get("role") == "region":
            assert attributes.get("aria-label")
    assert 'aria-live="polite"' in PAGES["study"]


# ---- bytes


@pytest.mark.parametrize("make", [run_replay, study_replay])
def test_the_same_runs_give_the_same_bytes(make: Any) -> None:
    assert page(make()) == page(make())


def test_a_wide_network_with_many_snapshots_and_evaluations_stays_below_the_limit() -> None:
    points = [point(epoch, 2.0 / 3.0 + 1.0 / (epoch + 3)) for epoch in range(20_000)]
    text = page(run_replay(made_up(60, n=10_000, hidden=(512,)), points))
    assert len(text.encode()) < MOST_BYTES
    assert "Curves are drawn through 500 of 20,000 evaluations." in text
    assert "24 of 60 snapshots are shown." in text
    assert "Weights are shown of the first 100 of 512 units." in text


def test_a_study_of_very_many_configurations_stays_below_the_limit() -> None:
    rates = tuple(0.001 * (k + 1) / 3 for k in range(400))
    experiment = Experiment("rates", Hyperparams(), {"learning_rate": rates}, (0, 1, 2))
    costs = tuple(point(epoch, 2.0 / 3.0 + 1.0 / (epoch + 3)) for epoch in range(300))
    runs = [
        finished(Hyperparams(learning_rate=rate), seed, 0.9 + seed / 100, costs=costs)
        for rate in rates
        for seed in range(3)
    ]
    deep = made_up(40, hidden=(64,) * 20)
    study = Study("wide", (experiment,), notes=("n" * 100_000,))
    text = page(study_replay(study, runs, deep, "x" * 3_000_000))
    assert len(text.encode()) < MOST_BYTES
    shown = data_in(text)
    assert len(shown["experiments"][0]["configurations"]) == MOST_CONFIGURATIONS
    assert len(shown["networks"]) == MOST_NETWORKS
    assert f"The first {MOST_CONFIGURATIONS} of 400 configurations are shown." in text
    assert f"Networks are shown of the first {MOST_NETWORKS} of 150 configurations." in text
    assert "The study file is cut off." in text
