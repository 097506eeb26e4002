"""Lifecycle transitions: resources are acquired and released exactly once."""

from __future__ import annotations

import gc
import threading

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.ros import services
from clipose_ros.ros.pose_node import PoseNode


def change(ros, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return ros.call(ChangeState, "pose_node/change_state", request).success


def state(ros):
    return ros.call(GetState, "pose_node/get_state", GetState.Request()).current_state.label


def endpoint_counts(ros):
    """Subscriptions and publishers that the node holds on the graph."""
    inputs = (
        "rgb/image_rect_color",
        "rgb/camera_info",
        "depth_registered/image_rect",
        "segmentation/labels",
        "/tf_static",
    )
    outputs = ("detections", "detections_2d", "poses", "markers", "object_cloud", "debug_image")
    node = ros.node
    return tuple(node.count_subscribers(t) for t in inputs), tuple(
        node.count_publishers(f"pose_node/{t}") for t in outputs
    )


def workers():
    return [t.name for t in threading.enumerate() if t.name in ("pose_worker", "detection_worker")]


@pytest.mark.parametrize(
    ("parallel", "threads"), [("auto", {"pose_worker"}), ("always", {"pose_worker", "detection_worker"})]
)
def test_two_complete_cycles_release_all_endpoints(ros, camera, start_node, parallel, threads):
    node = start_node(started=False, publish__target_frame="camera_optical", segmentation__parallel=parallel)
    for _ in range(2):
        assert state(ros) == "unconfigured" and gc.get_freeze_count() == 0
        ros.wait_for(lambda: endpoint_counts(ros) == ((0,) * 5, (0,) * 6), "an empty graph")
        assert change(ros, Transition.TRANSITION_CONFIGURE)
        ros.wait_for(lambda: endpoint_counts(ros) == ((0, 0, 0, 0, 1), (1,) * 6), "publishers and TF")
        assert change(ros, Transition.TRANSITION_ACTIVATE) and state(ros) == "active"
        ros.wait_for(lambda: endpoint_counts(ros) == ((1,) * 5, (1,) * 6), "subscriptions")
        assert gc.get_freeze_count() > 10_000, "loaded objects are left to the garbage collector"
        assert set(workers()) == threads and len(workers()) == len(threads)
        node.detections.clear()
        ros.wait_for(lambda: node.detections, "detections", camera.send)
        assert change(ros, Transition.TRANSITION_DEACTIVATE) and state(ros) == "inactive"
        ros.wait_for(lambda: endpoint_counts(ros) == ((0, 0, 0, 0, 1), (1,) * 6), "no subscriptions")
        assert not workers()
        assert change(ros, Transition.TRANSITION_CLEANUP)
    assert change(ros, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN) and state(ros) == "finalized"


def test_tf_is_subscribed_to_only_if_a_frame_is_set(ros, camera, start_node):
    start_node()
    camera.wait_until_heard()
    assert ros.node.count_subscribers("/tf") == ros.node.count_subscribers("/tf_static") == 0


def test_transforms_are_cleared_when_time_jumps_back_while_inactive(ros, camera, start_node):
    node = start_node(publish__target_frame="base")
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections, "detections", camera.send_with_tf)
    assert change(ros, Transition.TRANSITION_DEACTIVATE)
    camera.stamp_ns -= 500_000_000_000
    node.detections.clear()
    assert change(ros, Transition.TRANSITION_ACTIVATE)
    ros.wait_for(lambda: node.detections, "detections of the new time", camera.send_with_tf)


def test_inactive_node_publishes_nothing_and_reactivated_one_again(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections, "detections", camera.send)
    assert change(ros, Transition.TRANSITION_DEACTIVATE)
    ros.wait_for(lambda: camera.color.get_subscription_count() == 0, "the subscriptions' end")
    node.detections.clear()
    ros.wait_for(lambda: node.value("state") == "inactive", "diagnostics to say so", camera.send)
    assert not node.detections
    assert change(ros, Transition.TRANSITION_ACTIVATE)
    ros.wait_for(lambda: node.detections, "detections again", camera.send)


@pytest.mark.parametrize("transition", [Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN])
def test_markers_without_lifetime_are_deleted_when_the_node_stops_publishing(ros, camera, start_node, transition):
    start_node(publish__marker_lifetime_s=0.0)
    arrays = ros.listen(MarkerArray, "pose_node/markers")
    camera.wait_until_heard()
    ros.wait_for(lambda: any(array.markers for array in arrays), "markers", camera.send)
    assert change(ros, transition)
    ros.wait_for(lambda: [m.action for m in arrays[-1].markers] == [Marker.DELETEALL], "the deletion of all")


@pytest.mark.parametrize("transition", [Transition.TRANSITION_ACTIVE_SHUTDOWN, Transition.TRANSITION_INACTIVE_SHUTDOWN])
def test_shutdown_releases_everything_from_any_state(ros, camera, start_node, transition):
    start_node()
    if transition == Transition.TRANSITION_INACTIVE_SHUTDOWN:
        assert change(ros, Transition.TRANSITION_DEACTIVATE)
    assert change(ros, transition)
    ros.wait_for(lambda: endpoint_counts(ros) == ((0,) * 5, (0,) * 6), "an empty graph")
    assert not workers() and state(ros) == "finalized"


@pytest.mark.parametrize(
    "error", [CheckpointError("'x.safetensors' does not exist"), ConfigError("unknown category 'cup'")]
)
def test_failed_configuration_leaves_the_node_unconfigured_with_the_reason(ros, camera, start_node, error, monkeypatch):
    node = start_node(started=False)

    def fail(config):
        raise error

    works, node.make_pipeline = node.make_pipeline, fail
    assert not change(ros, Transition.TRANSITION_CONFIGURE)
    assert state(ros) == "unconfigured" and endpoint_counts(ros) == ((0,) * 5, (0,) * 6)
    ros.wait_for(lambda: str(error) in node.value("last_problem"), "diagnostics to say why")
    assert node.diagnostics[-1].status[0].level == b"\x02"
    assert node.diagnostics[-1].status[0].name == "/pose_node: poses"
    node.make_pipeline = works
    assert change(ros, Transition.TRANSITION_CONFIGURE) and change(ros, Transition.TRANSITION_ACTIVATE)
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections, "detections", camera.send)
    ros.wait_for(lambda: node.diagnostics[-1].status[0].level == b"\x00", "good health")


def test_a_manager_gets_the_reply_of_a_configuration_that_takes_long(ros, start_node):
    """Nav2's manager waits for the reply without a limit; between, services must stay in the graph."""
    node = start_node(started=False)
    make_pipeline, begun, compiled = node.make_pipeline, threading.Event(), threading.Event()

    def make_slowly(config):
        begun.set()
        assert compiled.wait(60.0)
        return make_pipeline(config)

    node.make_pipeline = make_slowly
    get_state = ros.node.create_client(GetState, "pose_node/get_state")
    change_state = ros.node.create_client(ChangeState, "pose_node/change_state")
    ros.wait_for(lambda: get_state.service_is_ready() and change_state.service_is_ready(), "the services")
    reply = change_state.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE)))
    ros.wait_for(begun.is_set, "the configuration to begin")
    asked = get_state.call_async(GetState.Request())
    assert get_state.service_is_ready() and change_state.service_is_ready() and not reply.done()
    compiled.set()
    ros.wait_for(reply.done, "the reply of the transition")
    ros.wait_for(asked.done, "the state, asked meanwhile")
    assert reply.result().success and asked.result().current_state.label == state(ros) == "inactive"
    assert change(ros, Transition.TRANSITION_ACTIVATE) and state(ros) == "active"


@pytest.mark.parametrize("hidden", [True, False])
def test_an_invalid_transition_is_refused_and_changes_nothing(ros, camera, start_node, monkeypatch, hidden):
    def as_before_kilted(self, number):
        self._state_machine.trigger_transition_by_id(number, True)
        raise AssertionError("the state machine should have refused")

    node = start_node()
    monkeypatch.setattr(PoseNode, "_LifecycleNodeMixin__change_state", as_before_kilted, raising=False)
    if hidden:  # by a release that names the state machine differently
        monkeypatch.setattr(services, "available_transitions", lambda _: None)
    assert not change(ros, Transition.TRANSITION_CONFIGURE)
    assert state(ros) == "active" and node.error is None
    ros.wait_for(lambda: "autostart" in node.value("last_problem"), "diagnostics to say why")
    assert f"transition {Transition.TRANSITION_CONFIGURE}" in node.value("last_problem")


@pytest.mark.parametrize(
    "transition",
    [Transition(id=0), Transition(id=60), Transition(id=255), Transition(id=3, label="flood\n"), Transition(id=4)],
)
def test_many_invalid_transitions_do_not_flood_the_log(ros, start_node, capfd, transition):
    node = start_node(started=False)
    request = ChangeState.Request(transition=transition)
    for _ in range(20):
        assert not ros.call(ChangeState, "pose_node/change_state", request).success
    ros.wait_for(lambda: "possible now: configure, shutdown" in node.value("problem.transition"), "the reason")
    assert capfd.readouterr().err.count("is refused") < 20


def test_a_transition_is_found_by_its_label(ros, start_node):
    node = start_node(started=False)
    request = ChangeState.Request(transition=Transition(label="configure"))
    assert ros.call(ChangeState, "pose_node/change_state", request).success
    ros.wait_for(lambda: node.value("state") == "inactive", "the state")


def test_an_unexpected_exception_of_a_transition_is_raised_from_spin(ros, start_node):
    def crash(*_):
        raise ZeroDivisionError("a bug")

    node = start_node(started=False)
    node.make_pipeline = crash
    assert not change(ros, Transition.TRANSITION_CONFIGURE)
    ros.wait_for(lambda: node.error is not None, "the end of spin")
    assert isinstance(node.error, ZeroDivisionError)
    assert any(entry.name == "crash" for entry in iter_trace(node.error.__traceback__))


def iter_trace(trace):
    import traceback

    return traceback.extract_tb(trace)


def test_qos_of_inputs_can_be_overridden(ros, camera, start_node):
    topic = ros.node.resolve_topic_name("rgb/image_rect_color")
    start_node(**{f"qos_overrides.{topic}.subscription.reliability": "reliable"})
    camera.wait_until_heard()
    (info,) = ros.node.get_subscriptions_info_by_topic(topic)
    assert info.qos_profile.reliability.name == "RELIABLE"
    (info,) = ros.node.get_subscriptions_info_by_topic(ros.node.resolve_topic_name("depth_registered/image_rect"))
    assert info.qos_profile.reliability.name == "BEST_EFFORT"
