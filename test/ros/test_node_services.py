"""~/enable and ~/detect_once, and parameters that change while the node runs."""

from __future__ import annotations

import re

import pytest
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.ros.services import Outcome


def set_parameter(ros, name, value):
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return ros.call(SetParameters, "pose_node/set_parameters", request).results[0]


def classes(message):
    return {d.results[0].hypothesis.class_id for d in message.detections}


def test_enable_pauses_and_resumes_and_sets_the_parameter(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections, "detections", camera.send)
    assert ros.call(SetBool, "pose_node/enable", SetBool.Request(data=False)).success
    assert node.node.get_parameter("enabled").value is False
    ros.wait_for(lambda: node.value("enabled") == "false", "diagnostics to say so")
    before, posed = int(node.value("frames_received")), node.value("frames_processed")
    node.detections.clear()
    ros.wait_for(lambda: int(node.value("frames_received")) >= before + 5, "frames that are not posed", camera.send)
    assert node.value("frames_processed") == posed and not node.detections
    assert ros.call(SetBool, "pose_node/enable", SetBool.Request(data=True)).success
    ros.wait_for(lambda: node.detections, "detections again", camera.send)


@pytest.mark.parametrize("parallel", ["never", "always"])
def test_detect_once_poses_the_next_frame_of_a_disabled_node(ros, camera, start_node, parallel):
    node = start_node(enabled=False, tracking__min_hits=5, segmentation__parallel=parallel)
    camera.wait_until_heard()
    ros.wait_for(lambda: int(node.value("frames_received") or 0) >= 3, "frames that are not posed", camera.send)
    assert not node.detections
    begun_ns = camera.stamp_ns
    response = ros.call(Trigger, "pose_node/detect_once", Trigger.Request(), each=camera.send)
    assert response.success
    message = ros.wait_for(lambda: node.detections, "the detections of that frame")[0]
    stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
    assert response.message == f"2 objects at {stamp // 10**9}.{stamp % 10**9:09}: bowl_1, mug_1"
    assert stamp > begun_ns - 1 and classes(message) == {"mug", "bowl"}
    ros.wait_for(lambda: int(node.value("frames_processed")) == 1, "the count of one posed frame", camera.send)


@pytest.mark.parametrize("parallel", ["never", "always"])
def test_reset_forgets_all_tracks(ros, camera, start_node, parallel):
    node = start_node(segmentation__parallel=parallel)
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections, "detections", camera.send)
    assert ros.call(Trigger, "pose_node/reset", Trigger.Request(), each=camera.send).success
    seen = int(node.value("frames_processed") or 0)
    ros.wait_for(lambda: int(node.value("frames_processed") or 0) > seen + 3, "frames after the reset", camera.send)
    node.detections.clear()
    message = ros.wait_for(lambda: node.detections, "detections again", camera.send)[0]
    assert {d.id for d in message.detections} == {"mug_1", "bowl_1"}, "ids start anew"


def test_reset_of_an_unconfigured_node_says_so(ros, start_node):
    start_node(started=False)
    response = ros.call(Trigger, "pose_node/reset", Trigger.Request())
    assert not response.success and "not configured" in response.message


def test_detect_once_tells_why_a_frame_could_not_be_posed(ros, camera, start_node):
    start_node(enabled=False)
    camera.wait_until_heard()

    def broken(messages):
        messages["info"].p, messages["info"].k = [0.0] * 12, [0.0] * 9

    response = ros.call(Trigger, "pose_node/detect_once", Trigger.Request(), each=lambda: camera.send(broken))
    assert not response.success and "not calibrated" in response.message


def test_detect_once_gives_up_without_frames_and_leaves_the_node_alive(ros, camera, start_node, monkeypatch):
    monkeypatch.setattr("clipose_ros.ros.services.DETECT_ONCE_TIMEOUT_S", 0.2)
    start_node()
    response = ros.call(Trigger, "pose_node/detect_once", Trigger.Request())
    assert not response.success and "no frame" in response.message
    assert ros.call(SetBool, "pose_node/enable", SetBool.Request(data=True)).success


def test_detect_once_answers_all_who_wait_with_one_frame(ros, camera, start_node):
    node = start_node(enabled=False)
    camera.wait_until_heard()
    clients = [ros.node.create_client(Trigger, "pose_node/detect_once") for _ in range(2)]
    ros.wait_for(lambda: all(client.service_is_ready() for client in clients), "the service")
    replies = [client.call_async(Trigger.Request()) for client in clients]
    ros.wait_for(lambda: node.node.detect_once.waiting_requests == 2, "the arrival of both requests")
    ros.wait_for(lambda: all(reply.done() for reply in replies), "both replies", camera.send)
    texts = {reply.result().message for reply in replies}
    assert len(texts) == 1 and re.fullmatch(r"2 objects at \d+\.\d{9}: bowl_1, mug_1", texts.pop())
    frames = int(node.value("frames_received") or 0)
    ros.wait_for(lambda: int(node.value("frames_received") or 0) > frames, "newer diagnostics", camera.send)
    assert node.value("frames_processed") == "1"


def test_detect_once_is_refused_while_inactive_and_when_deactivated_meanwhile(ros, camera, start_node):
    node = start_node()
    client = ros.node.create_client(Trigger, "pose_node/detect_once")
    ros.wait_for(client.service_is_ready, "the service")
    waiting = client.call_async(Trigger.Request())
    ros.wait_for(lambda: node.node.detect_once.waiting_requests, "the request's arrival")
    node.node.trigger_deactivate()
    ros.wait_for(waiting.done, "the reply")
    assert not waiting.result().success and "not active" in waiting.result().message
    assert "not active" in ros.call(Trigger, "pose_node/detect_once", Trigger.Request()).message


def test_detect_once_does_not_wait_for_a_frame_whose_work_ended_in_a_bug(ros, camera, start_node):
    service = start_node().node.detect_once
    client = ros.node.create_client(Trigger, "pose_node/detect_once")
    ros.wait_for(client.service_is_ready, "the service")
    waiting = client.call_async(Trigger.Request())
    ros.wait_for(lambda: service.waiting_requests, "the request's arrival")
    claimed = service.claim(10**9)
    assert len(claimed) == 1 and service.waiting_requests == 0
    service.close()
    ros.wait_for(waiting.done, "the reply")
    assert not waiting.result().success and "not active" in waiting.result().message
    service.answer(claimed, Outcome(True, "too late"))
    assert service.claim(10**9) == [] and not claimed[0].outcome.result().success


def test_every_setting_is_a_described_and_typed_parameter(ros, start_node):
    start_node(started=False)
    settings = {leaf.path: leaf for leaf in config_fields(PoseNodeConfig())}
    names = ros.call(ListParameters, "pose_node/list_parameters", ListParameters.Request()).result.names
    assert set(settings) <= set(names)
    request = DescribeParameters.Request(names=list(settings))
    kinds = {
        bool: ParameterType.PARAMETER_BOOL,
        int: ParameterType.PARAMETER_INTEGER,
        float: ParameterType.PARAMETER_DOUBLE,
        str: ParameterType.PARAMETER_STRING,
    }
    for descriptor in ros.call(DescribeParameters, "pose_node/describe_parameters", request).descriptors:
        leaf = settings[descriptor.name]
        assert descriptor.description == leaf.doc
        assert descriptor.type == kinds.get(leaf.type, ParameterType.PARAMETER_STRING_ARRAY)
        ranges = list(descriptor.floating_point_range) + list(descriptor.integer_range)
        if leaf.low is not None and leaf.high is not None:
            assert (ranges[0].from_value, ranges[0].to_value) == (leaf.low, leaf.high)
        assert ("Can change at run time" in descriptor.additional_constraints) == leaf.live


@pytest.mark.parametrize("parallel", ["never", "always"])
def test_live_parameters_act_on_the_next_frame(ros, camera, start_node, parallel):
    node = start_node(segmentation__parallel=parallel)
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections and classes(node.detections[-1]) == {"mug", "bowl"}, "both", camera.send)
    assert set_parameter(ros, "categories", ["mug"]).successful
    ros.wait_for(lambda: classes(node.detections[-1]) == {"mug"}, "mugs only", camera.send)
    assert set_parameter(ros, "categories", [""]).successful
    ros.wait_for(lambda: classes(node.detections[-1]) == {"mug", "bowl"}, "both again", camera.send)
    assert set_parameter(ros, "cloud.depth_max_m", 0.6).successful
    ros.wait_for(lambda: classes(node.detections[-1]) == {"mug"}, "near objects only", camera.send)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("network.model", "other.safetensors", "cannot change while the node is configured"),
        ("sync.exact", True, "cannot change while the node is configured"),
        ("tracking.smoothing", 1.5, "out of range"),
        ("categories", ["cup"], "unknown category 'cup'"),
    ],
)
def test_refused_changes_say_why_and_change_nothing(ros, start_node, name, value, words):
    node = start_node()
    before = node.node.parameters.config
    result = set_parameter(ros, name, value)
    assert not result.successful and words in result.reason
    assert node.node.parameters.config == before
    got = ros.call(GetParameters, "pose_node/get_parameters", GetParameters.Request(names=[name])).values[0]
    assert got.string_value != value and got.double_value != value and list(got.string_array_value) != value


def test_fixed_parameters_may_change_before_configuration(ros, camera, start_node):
    node = start_node(started=False, segmentation__backend="yolo")
    assert set_parameter(ros, "segmentation.backend", "labels").successful
    assert set_parameter(ros, "sync.exact", True).successful
    assert node.node.start()
    camera.wait_until_heard()
    ros.wait_for(lambda: node.detections, "detections", camera.send)
