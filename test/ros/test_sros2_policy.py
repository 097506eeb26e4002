"""The SROS2 policy lists exactly the topics and services that the node creates."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2" / "policy.xml"
SINCE_JAZZY = {"/pose_node/get_type_description"}
RULES = {
    ("topics", "subscribe"): "get_subscriber_names_and_types_by_node",
    ("topics", "publish"): "get_publisher_names_and_types_by_node",
    ("services", "reply"): "get_service_names_and_types_by_node",
    ("services", "request"): "get_client_names_and_types_by_node",
}


def allowed() -> dict[tuple[str, str], set[str]]:
    """Resolved names that the policy allows the node, by kind and access."""
    (profile,) = ElementTree.parse(POLICY).getroot().iter("profile")
    node = f"/{profile.attrib['node']}"
    names: dict[tuple[str, str], set[str]] = {rule: set() for rule in RULES}
    for group in profile:
        for access, rule in group.attrib.items():
            assert rule == "ALLOW"
            listed = [entry.text or "" for entry in group]
            resolved = [name.replace("~", node, 1) if name[0] == "~" else f"/{name.lstrip('/')}" for name in listed]
            assert len(set(resolved)) == len(resolved), "a name is listed twice"
            names[group.tag, access] |= set(resolved)
    return names


def created(ros: Any) -> dict[tuple[str, str], set[str]]:
    """Names of the pose node in the graph of ROS."""
    return {rule: {name for name, _ in getattr(ros.node, ask)("pose_node", "/")} for rule, ask in RULES.items()}


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        (
            {"segmentation__backend": "labels", "publish__target_frame": "map", "use_sim_time": True},
            {"/rgb/image_rect_color/compressed", "/segmentation/detections"},
        ),
        (
            {"segmentation__backend": "detections", "sync__compressed": True},
            {"/rgb/image_rect_color", "/segmentation/labels", "/clock", "/tf", "/tf_static"},
        ),
    ],
)
def test_policy_allows_what_the_node_creates_and_nothing_else(ros, start_node, settings, unused):
    expected = allowed()
    assert unused <= expected["topics", "subscribe"]
    expected["topics", "subscribe"] -= unused
    start_node(**settings)
    graph: dict[tuple[str, str], set[str]] = {}

    def matches() -> bool:
        graph.update(created(ros))
        graph["services", "reply"] |= SINCE_JAZZY
        return graph == expected

    with contextlib.suppress(AssertionError):  # the comparison below shows what differs
        ros.wait_for(matches, "the names of the policy")
    assert graph == expected


def test_the_node_has_its_default_name_in_an_enclave_of_its_own():
    (enclave,) = ElementTree.parse(POLICY).getroot().iter("enclave")
    assert enclave.attrib["path"] == "/pose_node"
