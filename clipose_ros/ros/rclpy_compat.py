"""Adapters for rclpy: every use of an attribute that rclpy does not document as public, or moved, is in this module.

A release of rclpy that lacks one of these attributes raises ``RuntimeError`` with the name of the attribute, except
where the attribute is only needed to work around a fault of an older release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_parameters
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError


def get_parameter_overrides(node: Node) -> dict[str, Any]:
    """Return the parameter values given at the start (``-p``, parameter files, constructor) by name.

    The public way is ``automatically_declare_parameters_from_overrides``. It declares parameters without descriptors
    and raises a bare ``ValueError`` on an empty list.

    Raises:
        RuntimeError: This release of rclpy does not keep the overrides where they are expected.
    """
    return {name: parameter.value for name, parameter in _overrides(node).items()}


def set_parameter_override(node: Node, name: str, value: Any) -> None:
    """Make a value the start value of a parameter that is declared later.

    The overrides have no public setter. ``declare_parameter`` checks type and range of an override, but takes the
    parameter's type from a default value: a value passed as the default would not be checked.

    Raises:
        RuntimeError: This release of rclpy does not keep the overrides where they are expected.
    """
    _overrides(node)[name] = Parameter(name, value=value)


def wrap_change_state(node: LifecycleNode, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace the callback of ``~/change_state`` by ``wrap(callback)``.

    ``LifecycleNode`` creates this service itself and has no hook around its callback. The wrapper works around a fault
    of releases up to Jazzy, so a release that names the service differently is left as it is.
    """
    service = getattr(node, "_service_change_state", None)
    if service is not None:
        service.callback = wrap(service.callback)


def available_transitions(node: LifecycleNode) -> dict[int, str] | None:
    """Return the labels of the transitions that the node's state allows, by number; None if this release hides them."""
    transitions = getattr(getattr(node, "_state_machine", None), "available_transitions", None)
    return None if transitions is None else {number: label for number, label, *_ in transitions}


def destroy_state_machine(node: LifecycleNode) -> None:
    """Destroy the state machine of a destroyed node, which holds the DDS participant until the interpreter ends.

    A release that names the state machine differently is left as it is.
    """
    state_machine = getattr(node, "_state_machine", None)
    if state_machine is not None:
        state_machine.destroy_when_not_in_use()


def subscribe_counting_losses(
    node: Node,
    kind: type[Any],
    topic: str,
    qos: QoSProfile,
    callbacks: tuple[Callable[[Any], None], Callable[[int], None]],
) -> Subscription:
    """Subscribe to a topic with a QoS profile that parameters can override, and count the messages that are lost.

    Args:
        node: Node that subscribes.
        kind: Message type.
        topic: Name of the topic.
        qos: Profile before overrides.
        callbacks: Receiver of each message, and receiver of the number of messages that the middleware has newly
            reported as lost; it is never called if the middleware does not report losses.
    """
    on_message, on_lost = callbacks
    events = SubscriptionEventCallbacks(message_lost=lambda event: on_lost(event.total_count_change))
    overridable = QoSOverridingOptions.with_default_policies()
    try:
        return node.create_subscription(
            kind, topic, on_message, qos, event_callbacks=events, qos_overriding_options=overridable
        )
    except UnsupportedEventTypeError:
        return node.create_subscription(kind, topic, on_message, qos, qos_overriding_options=overridable)


def wrap_builtin_services(node: Node, wrap: Callable[[Callable[..., Any], str], Callable[..., Any]]) -> None:
    """Replace the callbacks of the services that rcl creates by ``wrap(callback, name)``.

    Those of the lifecycle and of type descriptions do not pass through ``create_service``. Their queue of 10 requests
    cannot be set, and a second server beside them would lose the calls that arrive before it exists.
    """
    for service in node.services:
        if service.qos_profile.depth < qos_profile_parameters.depth:
            service.callback = wrap(service.callback, service.srv_name)


def _overrides(node: Node) -> dict[str, Parameter[Any]]:
    overrides = getattr(node, "_parameter_overrides", None)
    if not isinstance(overrides, dict):
        raise RuntimeError(
            "expected rclpy.node.Node to keep start values in the dict '_parameter_overrides', "
            f"got {type(overrides).__name__}: this release of rclpy is not supported, adapt {__name__}"
        )
    return overrides
