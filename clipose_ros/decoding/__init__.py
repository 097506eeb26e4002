"""Decoding of camera messages to core types, without ROS.

The functions take any object that has the fields of a message: those that rclpy delivers and those that a recording
holds are decoded alike. ``frames`` makes an ``RgbdFrame`` of a matched set of messages.
"""
