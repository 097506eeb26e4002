"""Reading of recordings: rosbag2 (MCAP, sqlite3) and ROS 1 bags, without ROS.

``recording.open_recording`` finds the camera in a bag and yields its frames; ``storage`` yields the messages.
"""
