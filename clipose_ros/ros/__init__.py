"""The ROS 2 edge: the only room that imports rclpy or a message.

``pose_node`` wires the rest: ``inputs`` matches topics into sets, ``mailbox`` keeps the newest, ``worker`` takes it,
``conversions`` turns it into an ``RgbdFrame``, ``posing`` sends it through the pipeline and the tracker, ``publishers``
turns what comes out into messages, ``diagnostics`` tells how it goes. No mathematics here: geometry and tracking do it.
"""
