"""The SROS2 policy allows what the running nodes do, no less and no more."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from drawn_roads import write_roads
from ros_process import Looking, looking, node_process

from ros_nodes import environment

POLICY = ElementTree.parse(Path(environment.__file__).parent / "config" / "policy.xml").getroot()
CHILDREN = {
    "policy": {"enclaves"},
    "enclaves": {"enclave"},
    "enclave": {"profiles"},
    "profiles": {"profile"},
    "profile": {"topics", "services"},
    "topics": {"topic"},
    "services": {"service"},
    "topic": set(),
    "service": set(),
}
"""As in SROS2's schema 0.2.0 (sros2/policy/schemas/policy.xsd), without actions: we have none."""
REQUIRED = {"policy": {"version"}, "enclave": {"path"}, "profile": {"ns", "node"}}
RULES = {"topics": {"publish", "subscribe"}, "services": {"reply", "request"}}
SETTLE_S = 10.0
OPTIONAL = {("reply", "get_type_description")}
"""Jazzy and newer serve it."""

Rights = set[tuple[str, str]]


def faults(policy: Element) -> list[str]:
    """Return what SROS2's schema would refuse, and what we do not want in a policy."""
    found = []
    if policy.tag != "policy" or policy.get("version") != "0.2.0":
        found.append("not a policy of version 0.2.0")
    for element in policy.iter():
        names, tag = set(element.attrib), element.tag
        if {child.tag for child in element} - CHILDREN.get(tag, set()):
            found.append(f"{tag}: children")
        if CHILDREN.get(tag) and not len(element):
            found.append(f"{tag}: empty")
        if tag in RULES:
            if not names or names - RULES[tag] or set(element.attrib.values()) != {"ALLOW"}:
                found.append(f"{tag}: {element.attrib}")
        elif names != REQUIRED.get(tag, set()):
            found.append(f"{tag}: attributes")
        text = (element.text or "").strip()
        if (tag in ("topic", "service")) != bool(text) or set(text) & set("*?[] "):
            found.append(f"{tag}: '{text}'")
    return found


def rights(node: str) -> Rights:
    """Return (publish, full name of a topic) and so on of a node's profile.

    A name is made full as in sros2/policy/templates/dds/permissions.xsl.
    """
    (profile,) = POLICY.findall(f"enclaves/enclave[@path='/{node}']/profiles/profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", node)
    listed = [
        (rule, _full(str(name.text), node))
        for group in profile
        for rule in group.attrib
        for name in group
    ]
    assert len(listed) == len(set(listed)), "something is listed twice"
    return set(listed)


def _full(name: str, node: str) -> str:
    if name.startswith("~"):
        return f"/{node}{name[1:]}"
    return name if name.startswith("/") else f"/{name}"


def used(here: Looking, node: str) -> Rights:
    """Return what the graph says that a node does."""
    asked: dict[str, Callable[[str, str], list[tuple[str, list[str]]]]] = {
        "publish": here.node.get_publisher_names_and_types_by_node,
        "subscribe": here.node.get_subscriber_names_and_types_by_node,
        "reply": here.node.get_service_names_and_types_by_node,
        "request": here.node.get_client_names_and_types_by_node,
    }
    return {(rule, name) for rule, ask in asked.items() for name, _ in ask(node, "/")}


def check(node: str) -> None:
    """Compare both ways, once discovery has told everything."""
    allowed = rights(node)
    may_lack = {(rule, f"/{node}/{name}") for rule, name in OPTIONAL}
    with looking() as here:
        here.until(lambda: node in here.node.get_node_names())
        end = monotonic() + SETTLE_S
        while allowed - may_lack - used(here, node) and monotonic() < end:
            here.spin(0.1)
        here.spin(1.0)  # what is too much must have the time to come, too
        assert used(here, node) - allowed == set()
        assert allowed - may_lack - used(here, node) == set()


def test_the_node(tmp_path: Path, tiny_bundle: Path) -> None:
    with node_process(
        "ros_nodes.segmentation.main", tmp_path, bundle=tiny_bundle, threads=1
    ) as node:
        node.says("segmenting")
        check("lane_segmentation")


def test_the_camera(tmp_path: Path) -> None:
    frames = write_roads(tmp_path / "roads", range(2)).path
    with node_process("ros_nodes.camera.main", tmp_path, source=frames, rate_hz=2.0):
        check("lane_camera")


def test_the_monitor(tmp_path: Path) -> None:
    with node_process("ros_nodes.monitor.main", tmp_path):
        check("latency_monitor")


def test_its_form_is_sros2_s() -> None:
    assert faults(POLICY) == []


@pytest.mark.parametrize(
    ("where", "spoil"),
    [
        (".", lambda one: one.set("version", "0.1.0")),
        ("enclaves", lambda one: one.clear()),
        ("enclaves/enclave", lambda one: one.attrib.pop("path")),
        (".//profile", lambda one: one.set("name", "x")),
        (".//topics", lambda one: one.set("publish", "allow")),
        (".//services", lambda one: one.set("publish", "ALLOW")),
        (".//topics", lambda one: one.append(Element("service"))),
        (".//topic", lambda one: setattr(one, "text", "*")),
        (".//service", lambda one: setattr(one, "text", " ")),
        (".//profile", lambda one: one.append(Element("actions"))),
    ],
)
def test_another_form_is_found(where: str, spoil: Callable[[Element], object]) -> None:
    spoilt = copy.deepcopy(POLICY)
    element = spoilt if where == "." else spoilt.find(where)
    assert element is not None
    spoil(element)
    assert faults(spoilt)
