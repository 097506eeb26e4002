"""Messages of the planning scene of MoveIt."""

from __future__ import annotations

from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import Header

from clipose_ros.manipulation.collision_scene import SceneChange
from clipose_ros.ros.messages import pose

_MAX_ATTACHED = 1000


def collision_object(header: Header, change: SceneChange) -> CollisionObject:
    """Make the message that adds an object, in place of an earlier one of that name, or removes it."""
    if change.T_frame_object is None:
        return CollisionObject(header=header, id=change.name, operation=CollisionObject.REMOVE)
    solids = [
        SolidPrimitive(
            type=SolidPrimitive.CYLINDER if primitive.is_cylinder else SolidPrimitive.BOX,
            dimensions=list(primitive.dimensions),
        )
        for primitive in change.primitives
    ]
    return CollisionObject(
        header=header,
        id=change.name,
        pose=pose(change.T_frame_object),
        primitives=solids,
        primitive_poses=[pose(primitive.T_object_primitive) for primitive in change.primitives],
        operation=CollisionObject.ADD,
    )


class AttachedObjects:
    """Names of the objects that the robot carries, each with its link, from the messages of MoveIt."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}

    @property
    def names(self) -> frozenset[str]:
        """Return the names."""
        return frozenset(self._links)

    def apply(self, message: AttachedCollisionObject) -> None:
        """Follow an object that is attached, or detached; without a name, all objects of the link are detached."""
        name, link = str(message.object.id), str(message.link_name)
        if message.object.operation == CollisionObject.REMOVE:
            gone = [name] if name else [each for each, at in self._links.items() if link in ("", at)]
            for each in gone:
                self._links.pop(each, None)
        elif name and len(self._links) < _MAX_ATTACHED:
            self._links[name] = link

    def follow(self, scene: PlanningScene) -> None:
        """Follow a planning scene: a whole one replaces what is known, a difference changes it."""
        state = scene.robot_state
        if not (scene.is_diff or state.is_diff):
            self._links.clear()
        for message in state.attached_collision_objects:
            self.apply(message)
