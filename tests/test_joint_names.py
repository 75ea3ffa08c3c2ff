"""Joints are found by name, whatever program named them and however the names are decorated."""

from __future__ import annotations

import pytest

from dinar.body.joint_names import joint_roles

# One person, named by many programs: pelvis; left and right leg; spine, neck, head; left and right arm.
MIXAMO = (
    "Hips; LeftUpLeg LeftLeg LeftFoot LeftToeBase; RightUpLeg RightLeg RightFoot RightToeBase; Spine Spine1 Spine2 "
    "Neck Head; LeftShoulder LeftArm LeftForeArm LeftHand; RightShoulder RightArm RightForeArm RightHand"
)
ROLES = [
    ["pelvis"], ["left_hip", "left_knee", "left_ankle", "left_foot"],
    ["right_hip", "right_knee", "right_ankle", "right_foot"], ["spine1", "spine2", "spine3", "neck", "head"],
    ["left_collar", "left_shoulder", "left_elbow", "left_wrist"],
    ["right_collar", "right_shoulder", "right_elbow", "right_wrist"],
]  # fmt: skip
SMPL = (
    "Pelvis; L_Hip L_Knee L_Ankle L_Foot; R_Hip R_Knee R_Ankle R_Foot; Spine1 Spine2 Spine3 Neck Head; "
    "L_Collar L_Shoulder L_Elbow L_Wrist; R_Collar R_Shoulder R_Elbow R_Wrist"
)
COUNT = iter(range(100))
NAMES = {
    "Mixamo": MIXAMO,
    "a namespace": MIXAMO.replace("Hips", "mixamorig:Hips").replace(" ", " mixamorig:"),
    "three.js": " ".join("mixamorig" + w for w in MIXAMO.split()),
    "copies of Blender": " ".join(w.rstrip(";") + ".001" + ";" * w.endswith(";") for w in MIXAMO.split()),
    "Sketchfab": " ".join(
        f"mixamorig:{w.rstrip(';')}_{next(COUNT):02d}" + ";" * w.endswith(";") for w in MIXAMO.split()),
    "MotionBuilder": " ".join("Character1_" + w for w in MIXAMO.split()),
    "a character's name": " ".join("Bob_" + w for w in MIXAMO.split()),
    "an armature": " ".join("Armature|" + w for w in MIXAMO.split()),
    "joints": " ".join(w.rstrip(";").lower() + "_JNT" + ";" * w.endswith(";") for w in MIXAMO.split()),
    "SMPL": SMPL,
    "SMPL for games": " ".join("m_avg_" + w for w in SMPL.split()),
    "SMPL in words": SMPL.replace("L_", "Left_").replace("R_", "Right_").lower(),
    "SMPL as it is": "; ".join(" ".join(r) for r in ROLES),
    "Rigify":
        "spine; thigh.L shin.L foot.L toe.L; thigh.R shin.R foot.R toe.R; spine.001 spine.002 spine.003 spine.004 "
        "spine.006; shoulder.L upper_arm.L forearm.L hand.L; shoulder.R upper_arm.R forearm.R hand.R",
    "Rigify's deforming bones":
        "DEF-spine; DEF-thigh.L DEF-shin.L DEF-foot.L DEF-toe.L; DEF-thigh.R DEF-shin.R DEF-foot.R DEF-toe.R; "
        "DEF-spine.001 DEF-spine.002 DEF-spine.003 DEF-spine.004 DEF-spine.006; DEF-shoulder.L DEF-upper_arm.L "
        "DEF-forearm.L DEF-hand.L; DEF-shoulder.R DEF-upper_arm.R DEF-forearm.R DEF-hand.R",
    "Unreal":
        "pelvis; thigh_l calf_l foot_l ball_l; thigh_r calf_r foot_r ball_r; spine_01 spine_02 spine_03 neck_01 "
        "head; clavicle_l upperarm_l lowerarm_l hand_l; clavicle_r upperarm_r lowerarm_r hand_r",
    "Unity":
        "Hips; LeftUpperLeg LeftLowerLeg LeftFoot LeftToes; RightUpperLeg RightLowerLeg RightFoot RightToes; "
        "Spine Chest UpperChest Neck Head; LeftShoulder LeftUpperArm LeftLowerArm LeftHand; RightShoulder "
        "RightUpperArm RightLowerArm RightHand",
    "Biped":
        "Bip01_Pelvis; Bip01_L_Thigh Bip01_L_Calf Bip01_L_Foot Bip01_L_Toe0; Bip01_R_Thigh Bip01_R_Calf "
        "Bip01_R_Foot Bip01_R_Toe0; Bip01_Spine Bip01_Spine1 Bip01_Spine2 Bip01_Neck Bip01_Head; Bip01_L_Clavicle "
        "Bip01_L_UpperArm Bip01_L_Forearm Bip01_L_Hand; Bip01_R_Clavicle Bip01_R_UpperArm Bip01_R_Forearm "
        "Bip01_R_Hand",
    "Daz":
        "hip; lThighBend lShin lFoot lToe; rThighBend rShin rFoot rToe; abdomenLower abdomenUpper chestLower "
        "neckLower head; lCollar lShldrBend lForearmBend lHand; rCollar rShldrBend rForearmBend rHand",
    "Genesis 9":
        "hip; l_thigh l_shin l_foot l_toes; r_thigh r_shin r_foot r_toes; spine1 spine2 spine4 neck1 head; "
        "l_shoulder l_upperarm l_forearm l_hand; r_shoulder r_upperarm r_forearm r_hand",
    "Xsens":
        "Pelvis; LeftUpperLeg LeftLowerLeg LeftFoot LeftToe; RightUpperLeg RightLowerLeg RightFoot RightToe; L5 "
        "L3 T8 Neck Head; LeftShoulder LeftUpperArm LeftForeArm LeftHand; RightShoulder RightUpperArm "
        "RightForeArm RightHand",
    "collar, shoulder, elbow":
        "Hips; LeftHip LeftKnee LeftAnkle LeftToe; RightHip RightKnee RightAnkle RightToe; Chest Chest2 Chest3 "
        "Neck Head; LeftCollar LeftShoulder LeftElbow LeftWrist; RightCollar RightShoulder RightElbow RightWrist",
    "ASF":
        "root; lfemur ltibia lfoot ltoes; rfemur rtibia rfoot rtoes; lowerback upperback thorax lowerneck head; "
        "lclavicle lhumerus lradius lwrist; rclavicle rhumerus rradius rwrist",
    "Motive":
        "Hip; LThigh LShin LFoot LToe; RThigh RShin RFoot RToe; Ab Spine Chest Neck Head; LShoulder LUArm LFArm "
        "LHand; RShoulder RUArm RFArm RHand",
    "mocopi":
        "root; l_up_leg l_low_leg l_foot l_toes; r_up_leg r_low_leg r_foot r_toes; torso_1 torso_4 torso_7 neck_1 "
        "head; l_shoulder l_up_arm l_low_arm l_hand; r_shoulder r_up_arm r_low_arm r_hand",
    "Kinect":
        "SpineBase; HipLeft KneeLeft AnkleLeft FootLeft; HipRight KneeRight AnkleRight FootRight; SpineLower "
        "SpineMid SpineShoulder Neck Head; ClavicleLeft ShoulderLeft ElbowLeft WristLeft; ClavicleRight "
        "ShoulderRight ElbowRight WristRight",
    "MakeHuman":
        "root; upperleg01.L lowerleg01.L foot.L toe1-1.L; upperleg01.R lowerleg01.R foot.R toe1-1.R; spine05 "
        "spine03 spine01 neck01 head; clavicle.L upperarm01.L lowerarm01.L wrist.L; clavicle.R upperarm01.R "
        "lowerarm01.R wrist.R",
    "VRoid":
        "J_Bip_C_Hips; J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_L_ToeBase; J_Bip_R_UpperLeg "
        "J_Bip_R_LowerLeg J_Bip_R_Foot J_Bip_R_ToeBase; J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck "
        "J_Bip_C_Head; J_Bip_L_Shoulder J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand; J_Bip_R_Shoulder "
        "J_Bip_R_UpperArm J_Bip_R_LowerArm J_Bip_R_Hand",
    "Reallusion":
        "CC_Base_Hip; CC_Base_L_Thigh CC_Base_L_Calf CC_Base_L_Foot CC_Base_L_ToeBase; CC_Base_R_Thigh CC_Base_R_Calf "
        "CC_Base_R_Foot CC_Base_R_ToeBase; CC_Base_Waist CC_Base_Spine01 CC_Base_Spine02 CC_Base_NeckTwist01 "
        "CC_Base_Head; CC_Base_L_Clavicle CC_Base_L_Upperarm CC_Base_L_Forearm CC_Base_L_Hand; CC_Base_R_Clavicle "
        "CC_Base_R_Upperarm CC_Base_R_Forearm CC_Base_R_Hand",
    "Advanced Skeleton":
        "Root_M; Hip_L Knee_L Ankle_L Toes_L; Hip_R Knee_R Ankle_R Toes_R; Spine1_M Spine2_M Chest_M Neck_M Head_M; "
        "Scapula_L Shoulder_L Elbow_L Wrist_L; Scapula_R Shoulder_R Elbow_R Wrist_R",
    "lf and rt":
        "pelvis; lf_thigh lf_shin lf_foot lf_toe; rt_thigh rt_shin rt_foot rt_toe; spine1 spine2 spine3 neck head; "
        "lf_clavicle lf_upperarm lf_forearm lf_hand; rt_clavicle rt_upperarm rt_forearm rt_hand",
    "leg and shin":
        "root; leg.L shin.L foot.L toe.L; leg.R shin.R foot.R toe.R; spine1 spine2 chest neck head; shoulder.L "
        "arm.L forearm.L hand.L; shoulder.R arm.R forearm.R hand.R",
}  # fmt: skip


@pytest.mark.parametrize("program", NAMES)
def test_every_joint_is_found_by_its_name(program: str) -> None:
    chains = [chain.split() for chain in NAMES[program].split(";")]
    names, parents = [], []
    for k, chain in enumerate(chains):
        for i, name in enumerate(chain):
            top = 0 if k < 4 else names.index(chains[3][2])  # arms begin above the chest
            parents.append(-1 if not names else top if i == 0 else len(names) - 1)
            names.append(name)
    role = {n: names[j] for n, j in joint_roles(names, parents).items()}
    expected = {n: w for chain, roles in zip(chains, ROLES, strict=True) for w, n in zip(chain, roles, strict=True)}
    assert role == expected


def test_fingers_of_biped_begin_with_the_thumb() -> None:
    names = ["Bip01", *(f"Bip01 L {n}" for n in ("Thigh", "Hand", "Finger0", "Finger01", "Finger1", "Finger42"))]
    role = joint_roles(names, [-1, 0, 0, 2, 3, 2, 2])
    found = {n: names[j][8:] for n, j in role.items() if n[-1].isdigit()}
    assert found == {
        "left_thumb1": "Finger0", "left_thumb2": "Finger01", "left_index1": "Finger1", "left_pinky3": "Finger42",
    }  # fmt: skip
