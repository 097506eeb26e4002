"""ROS 2 interface of the pose pipeline: the lifecycle node ``pose_node`` and its parts.

``inputs`` matches topics into sets, ``mailbox`` keeps the newest set, and ``worker`` processes it in its own thread.
``clipose_ros.decoding`` makes an ``RgbdFrame``, ``frame_processor`` runs pipeline and tracker, ``publishers`` makes
messages, and ``diagnostics`` collects counters and problems. Geometry and tracking are computed outside this package.
"""
