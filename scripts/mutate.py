"""Change tuned constants one at a time and run the tests meant for each: every change has to fail one.

    python scripts/mutate.py                 # all of the table: a few seconds a row
    python scripts/mutate.py --only UPRIGHT  # rows of one constant

The changes are made in a temporary copy of the package. A change is caught when a test fails, missed when all pass or
skip. Exit status: 0 if every change is caught, 1 if one is missed or the unchanged package fails.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Change(NamedTuple):
    module: str  # below dinar
    constant: str
    value: str  # Python, evaluated right after the constant's own assignment
    test: str  # node id below tests/


def changes(module: str, tests: str, *rows: tuple[str, str, str]) -> list[Change]:
    """Rows (constant, value, test) of one module whose tests are in one file."""
    return [Change(module, constant, value, f"{tests}::{test}") for constant, value, test in rows]


CHANGES = [
    *changes(
        "fit.terms",
        "test_tuned_fit.py",
        ("UPRIGHT", "0.0", "test_standing_people_are_fitted_upright"),
        ("KNEES", "0.0", "test_knees_of_standing_people_are_straight"),
        ("LIMIT", "0.0", "test_joints_do_not_bend_beyond_their_limits"),
        ("HINGE", "HINGE / 5", "test_elbows_bend_freely_within_their_limits"),
        ("CONTOUR", "0.0", "test_the_body_widens_to_the_mask"),
        ("CONTOUR_SIGMA", "CONTOUR_SIGMA / 20", "test_the_body_widens_to_the_mask"),
        ("COVER", "0.0", "test_limbs_without_keypoints_move_into_the_mask"),
        ("COVER_SIGMA", "COVER_SIGMA / 10", "test_limbs_without_keypoints_move_into_the_mask"),
    ),
    *changes(
        "fit.objective",
        "test_tuned_fit.py",
        ("KEYPOINTS", "KEYPOINTS / 10", "test_keypoints_are_met"),
    ),
    *changes(
        "fit.objective",
        "test_fit.py",
        ("DISTRUST", "1e9", "test_keypoints_far_from_the_guess_or_the_mask_count_less"),
        ("BESIDE", "1e9", "test_keypoints_far_from_the_guess_or_the_mask_count_less"),
    ),
    *changes(
        "fit.terms",
        "test_traits.py",
        ("BUILD", "0.1", "test_a_fit_has_the_build_that_is_known"),
    ),
    *changes(
        "photo.traits",
        "test_traits.py",
        ("TALL", "96", "test_a_striped_cloth_is_patterned"),
        ("INSIDE", "400", "test_a_striped_cloth_is_patterned"),
        ("LEAST_CLOTH", "0", "test_a_speck_of_a_cloth_tells_nothing"),
        ("ARM", "0", "test_striped_sleeves_on_a_plain_shirt"),
    ),
    *changes(
        "fit.smplify",
        "test_fit.py",
        ("LIKELY", "1.0", "test_the_best_guess_is_fitted_along_gravity"),
        ("DOUBT", "1000.0", "test_the_best_guess_is_fitted_along_gravity"),
    ),
    *changes(
        "fit.pockets",
        "test_fit.py",
        ("COVERED", "0.0", "test_hands_under_cloth_lie_behind_it"),
    ),
    *changes(
        "fit.face",
        "test_fit.py",
        ("USUAL", "USUAL / 100", "test_a_smile_is_read_and_a_face_turned_away_is_not"),
    ),
    *changes(
        "data.filmed_face",
        "test_filmed.py",
        ("LARGE", "0.0", "test_a_video_of_a_whole_person_is_not_one_of_a_face"),
        ("USUAL", "USUAL / 100", "test_a_video_of_a_face_moves_the_face"),
    ),
    *changes(
        "fit.likeness",
        "test_likeness.py",
        ("LOOSE", "1e-4", "test_head_turns_to_the_landmarks"),
        ("BENT", "1e-4", "test_neck_bends_until_the_face_lies_on_its_landmarks"),
        ("APART", "1e9", "test_landmarks_of_another_face_are_not_followed"),
        ("SHAPE", "1e-4", "test_face_has_the_shape_of_the_landmarks"),
    ),
    *changes(
        "texture.eyes",
        "test_likeness.py",
        ("LID", "0.3", "test_closing_lids_have_the_colour_of_skin"),
        ("COVER", "0.3", "test_closing_lids_have_the_colour_of_skin"),
        ("LASHES", "(0.0, 0.14)", "test_closing_lids_have_the_colour_of_skin"),
        ("BARE", "0.0", "test_closing_lids_have_the_colour_of_skin"),
        ("FEW", "10**6", "test_unseen_eyeballs_have_the_colours_of_the_seen_part"),
    ),
    *changes(
        "body.teeth",
        "test_speech.py",
        ("LIPS", "0.0", "test_teeth_show_in_open_mouths_only"),
        ("TEXELS", "(0.4, 0.322, 0.45, 0.35)", "test_colours_of_teeth_lie_where_nothing_else_is"),
    ),
    *changes(
        "speech.talk",
        "test_speech.py",
        ("FULL", "0.2", "test_a_mouth_with_closed_lips_is_not_open_at_all"),
        ("QUIET", "9.0", "test_lips_close_where_they_close_in_what_is_said"),
        ("BLINK", "0.001", "test_talking_lasts_as_long_as_the_sound_and_blinks"),
    ),
    *changes(
        "texture.agreement",
        "test_surface.py",
        ("SURE", "0.4", "test_pixels_of_a_limb_before_the_trunk_are_not_sampled"),
    ),
    *changes(
        "data.parsing",
        "test_parser.py",
        ("PASTED", '{"bag": 0.35}', "test_scarves_and_hats_of_others_are_worn_at_neck_and_head"),
        ("LEAST", "0.5", "test_scarves_and_hats_of_others_are_worn_at_neck_and_head"),
    ),
    *changes(
        "photo.pose",
        "test_pose.py",
        ("OPPOSED", "0.0", "test_hypotheses_that_face_the_other_way_lose"),
    ),
    *changes(
        "fit.view",
        "test_judgement.py",
        ("PASSER_BY", "0.2", "test_keypoints_of_passers_by_are_not_the_persons"),
    ),
    *changes(
        "fit.judgement",
        "test_judgement.py",
        ("DOUBTFUL", "Judgement(0.1, 0.9, 0.99, 0.9, 0.9, True, True, True)", "test_limits"),
        ("RIM", "99", "test_an_arm_outside_of_the_mask_is_doubtful"),
        ("LEAST", "0.9", "test_an_arm_outside_of_the_mask_is_doubtful"),
        ("NONSENSE", "Judgement(99.0, 0.0, 0.0, 0.0, 0.0, True, True, True)", "test_limits"),
    ),
    *changes(
        "fit.view",
        "test_tuned_fit.py",
        ("LANDMARKS", "{k: (name, 1.0) for k, (name, _) in LANDMARKS.items()}", "test_large_joints_count_more"),
    ),
    *changes(
        "fit.offsets",
        "test_tuned_fit.py",
        ("REACH", "REACH / 4", "test_the_edge_of_a_wide_coat_is_found"),
        ("ROBUST", "ROBUST / 4", "test_far_edges_count_but_less"),
        ("ROBUST", "ROBUST * 100", "test_far_edges_count_but_less"),
        ("SYMMETRY", "0.0", "test_the_hidden_half_is_as_wide_as_the_seen_one"),
        ("MEMBRANE", "MEMBRANE * 10", "test_the_hidden_half_is_as_wide_as_the_seen_one"),
        ("DECAY", "DECAY / 5", "test_the_front_of_a_coat_widens_with_its_edge"),
        ("PLATE", "PLATE / 1000", "test_offsets_are_smoother_than_the_edge"),
        ("STIFFNESS", 'STIFFNESS | {"hand": 1.0}', "test_hands_and_faces_keep_their_shape"),
        ("STIFFNESS", 'STIFFNESS | {"face": 1.0}', "test_hands_and_faces_keep_their_shape"),
        ("STIFFNESS", 'STIFFNESS | {"cavity": 1.0}', "test_hands_and_faces_keep_their_shape"),
    ),
    *changes(
        "fit.offsets",
        "test_thickness.py",
        ("STIFF", "0.1", "test_heads_and_backs_are_thicker_where_no_outline_tells"),
        ("EVEN", "0.5", "test_heads_and_backs_are_thicker_where_no_outline_tells"),
        ("MODE", "1.0", "test_an_outline_tells_how_thick_a_shirt_is_behind"),
    ),
    *changes(
        "fit.thickness",
        "test_thickness.py",
        ("ABOVE", "0.005", "test_nothing_is_thicker_under_shells"),
        ("BESIDE_EARS", "(0.0, 0.01)", "test_hair_and_cloth_are_thick_and_faces_are_not"),
    ),
    *changes(
        "body.swing",
        "test_shells.py",
        ("FALL", "0.0", "test_wide_cloth_falls_from_a_leg_that_narrow_cloth_follows"),
        ("SLACK", "0.0", "test_wide_cloth_falls_from_a_leg_that_narrow_cloth_follows"),
        ("DROP", "0.0", "test_cloth_does_not_hang_from_level_legs"),
    ),
    *changes(
        "fit.skirts",
        "test_shells.py",
        ("DEEPER", "0.0", "test_the_fit_finds_hem_and_width"),
        ("LEAST", "1.0", "test_the_fit_finds_hem_and_width"),
        ("SINGLE", "-1.0", "test_only_a_parse_of_loose_cloth_gives_a_skirt"),
        ("AGREE", "1.01", "test_the_fit_finds_hem_and_width"),
        ("CULOTTES", "-1.0", "test_culottes_are_a_skirt_and_trousers_are_none"),
        ("LONG", "0.0", "test_culottes_are_a_skirt_and_trousers_are_none"),
    ),
    *changes(
        "fit.offsets",
        "test_shells_fit.py",
        ("BY_HAND", "1", "test_the_outline_of_a_hand_does_not_widen_a_skirt"),
    ),
    *changes(
        "body.skirt",
        "test_shells.py",
        ("TUCK", "0.0", "test_no_leg_comes_out_of_a_skirt_in_a_kick"),
        ("TUCKED", "10.0", "test_no_leg_comes_out_of_a_skirt_in_a_kick"),
        ("BY_COAT", "(-1.0, -0.5)", "test_legs_are_thin_near_an_open_coat"),
        ("BY_COAT", "(9.0, 9.5)", "test_legs_are_thin_near_an_open_coat"),
    ),
    *changes(
        "fit.skirts",
        "test_shells_fit.py",
        ("SLEEVE", "-1.0", "test_sleeves_beside_a_skirt_do_not_widen_it"),
        ("HELD", "0.0", "test_hands_beside_a_skirt_do_not_widen_it"),
        ("NARROWS", "10.0", "test_a_hem_that_is_rounded_in_the_photo_is_as_wide_as_the_cloth_above"),
    ),
    *changes(
        "fit.coats",
        "test_shells_fit.py",
        ("SLEEVES", "1.0", "test_a_coat_is_worn_on_both_sides_if_both_arms_are_in_its_sleeves"),
        ("SLEEVES", "-1.0", "test_a_coat_is_worn_on_both_sides_if_both_arms_are_in_its_sleeves"),
    ),
    *changes(
        "fit.coats",
        "test_shells.py",
        ("OUTER", "0.0", "test_the_fit_finds_an_open_coat"),
        ("AGREE", "1.01", "test_the_fit_finds_an_open_coat"),
    ),
    *changes(
        "fit.hanging",
        "test_shells.py",
        ("LOOSE", "(9.0, 10.0)", "test_a_loose_coat_hangs_straight_from_the_shoulders"),
        ("LOOSE", "(-2.0, -1.0)", "test_a_loose_coat_hangs_straight_from_the_shoulders"),
        ("ARMPIT", "0.6", "test_a_loose_coat_hangs_straight_from_the_shoulders"),
        ("SIDE", "(-2.0, -1.0)", "test_a_loose_coat_hangs_straight_from_the_shoulders"),
    ),
    *changes(
        "fit.shells",
        "test_shells.py",
        ("HANGS", "2.0", "test_outerwear_hangs_and_a_skirt_does_not"),
        ("HANGS", "-1.0", "test_outerwear_hangs_and_a_skirt_does_not"),
    ),
    *changes(
        "body.hair",
        "test_hair.py",
        ("RINGS", "1", "test_there_is_scalp_under_the_front_edge_of_hair"),
        ("CUT", "180.0", "test_no_other_face_owns_the_texels_of_hair_and_both_halves_meet_on_the_forehead"),
    ),
    *changes(
        "body.comb",
        "test_hair.py",
        ("ON_TRUNK", "0.3", "test_hair_on_the_trunk_leaves_the_arms_free"),
        ("EDGE_OFF", "0.008", "test_the_front_edge_of_hair_lies_on_the_skin"),
    ),
    *changes(
        "fit.hair",
        "test_hair.py",
        ("CHEST", "0.35", "test_only_hair_below_the_chin_gets_a_shape_of_its_own"),
        ("AGREE", "1.01", "test_only_hair_below_the_chin_gets_a_shape_of_its_own"),
        ("WIDE", "0.0", "test_only_hair_below_the_chin_gets_a_shape_of_its_own"),
    ),
    *changes(
        "texture.sample",
        "test_tuned_texture.py",
        ("ERODE", "0.0", "test_the_edge_of_the_mask_is_not_sampled"),
        ("BEHIND", "0.2", "test_what_an_arm_hides_is_not_sampled"),
        ("GRAZING", "0.0", "test_slanted_texels_are_not_sampled"),
    ),
    *changes(
        "body.regions",
        "test_tuned_texture.py",
        ("AURICLE", "(0.05, 0.625)", "test_short_hair_ends_at_the_ears"),
    ),
    *changes(
        "texture.hair",
        "test_tuned_texture.py",
        ("LOOSE", "1.0", "test_hair_that_is_put_up_ends_at_the_ears"),
        ("UNDER_HAT", "0.0", "test_a_cap_ends_at_the_ears_and_hair_is_under_it_if_some_is_seen"),
        ("UNDER_HAT", "10.0", "test_a_cap_ends_at_the_ears_and_hair_is_under_it_if_some_is_seen"),
        ("RIM", "1.0", "test_a_cap_ends_at_the_ears_and_hair_is_under_it_if_some_is_seen"),
    ),
    *changes(
        "texture.closer",
        "test_texture.py",
        ("GAIN", "100", "test_the_head_has_the_colours_of_the_file_at_its_resolution"),
        ("GAIN", "0.1", "test_the_head_has_the_colours_of_the_file_at_its_resolution"),
        ("SHARE", "0.1", "test_the_head_has_the_colours_of_the_file_at_its_resolution"),
        ("FADE", "(0.0, 0.1)", "test_the_head_has_the_colours_of_the_file_at_its_resolution"),
    ),
    *changes(
        "texture.occlusion",
        "test_tuned_texture.py",
        ("WIDTH", "WIDTH / 4", "test_strips_along_occlusions_are_not_sampled"),
        ("STEP", "STEP * 4", "test_depth_steps_within_a_limb_are_outlines"),
        ("STEP", "STEP / 4", "test_depth_steps_within_a_limb_are_outlines"),
    ),
    *changes(
        "texture.merge",
        "test_tuned_texture.py",
        ("SHARPNESS", "SHARPNESS / 3", "test_the_view_that_sees_a_texel_best_decides"),
        ("FADE", "FADE / 4", "test_a_step_between_views_fades_over_decimetres"),
        ("FADE", "FADE * 4", "test_a_step_between_views_fades_over_decimetres"),
    ),
    *changes(
        "texture.membrane",
        "test_texture.py",
        ("PULL", "PULL / 100", "test_membrane_interpolates_and_fades"),
    ),
    *changes(
        "texture.fold",
        "test_tuned_texture.py",
        ("INNER", "1.0", "test_an_open_coat_is_closed_behind"),
        ("CONFIDENT", "0.01", "test_nothing_of_a_bag_comes_on_the_back"),
        ("ROUND", "ROUND * 6", "test_nothing_of_a_bag_comes_on_the_back"),
        ("TWIN", "0.0", "test_a_patterned_leg_goes_on_in_its_own_colours"),
        ("BELOW", "10.0", "test_a_long_open_coat_covers_the_seat"),
        ("LEVEL", "0.0", "test_the_hem_of_a_jacket_is_level_on_the_hips"),
        ("NEAR_HIPS", "0.0", "test_trousers_have_one_colour_on_seat_and_hips"),
        ("OTHER_LIMB", "1.0", "test_legs_take_the_colour_of_their_own_front"),
        ("LINING", "2.0", "test_the_lining_of_one_half_is_not_on_the_back"),
        ("ALIKE_COAT", "-1.0", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("ALIKE_COAT", "2.0", "test_the_back_of_a_jacket_is_as_its_front_if_that_is_no_lining"),
        ("ALIKE_FINE", "-1.0", "test_a_coat_has_the_pattern_of_its_sleeves_behind"),
        ("ALIKE_FINE", "2.0", "test_a_coat_has_the_pattern_of_its_sleeves_behind"),
        ("FINE_SLEEVES", "9.0", "test_a_coat_has_the_pattern_of_its_sleeves_behind"),
        ("STRANGE", "9.0", "test_the_lining_of_one_half_is_not_on_the_back"),
        ("STRANGE", "0.0", "test_a_coat_has_the_pattern_of_its_sleeves_behind"),
        ("KNOWN", "10**6", "test_a_coat_has_the_pattern_of_its_sleeves_behind"),
        ("GROUND", "9", "test_a_print_that_fills_most_of_a_height_is_not_behind"),
    ),
    *changes(
        "texture.fold",
        "test_unseen_limbs.py",
        ("SMOOTH", "3", "test_a_ragged_border_leaves_no_streaks_on_a_plain_leg"),
        ("GAP", "1e-6", "test_a_narrow_gap_is_closed_with_the_colours_beside_it"),
        ("BALANCE", "0.0", "test_a_strap_on_one_arm_is_no_shade_of_both"),
        ("ONE_LIGHT", "10**9", "test_a_back_is_lit_between_the_half_in_the_sun_and_the_one_in_the_shade"),
    ),
    *changes(
        "texture.bands",
        "test_bands.py",
        ("BAND", "10.0", "test_a_cuff_is_a_band_and_the_shade_on_a_sleeve_is_none"),
        ("SHADED", "0.0", "test_a_cuff_is_a_band_and_the_shade_on_a_sleeve_is_none"),
        ("LARGE", "1.0", "test_a_cuff_is_a_band_and_the_shade_on_a_sleeve_is_none"),
        ("SHADOW", "0", "test_the_shadow_below_a_hem_is_no_band"),
        ("HEM_STEP", "10.0", "test_a_hem_changes_the_hue_and_shade_does_not"),
        ("HEM_HUE", "0.0", "test_a_hem_changes_the_hue_and_shade_does_not"),
        ("OF_SLEEVES", "0.0", "test_a_print_ends_where_the_cloth_of_the_sleeves_begins"),
    ),
    *changes(
        "texture.bands",
        "test_tuned_texture.py",
        ("SAME_WAY", "-1.0", "test_a_shirt_is_plain_behind_whatever_is_on_its_front"),
    ),
    *changes(
        "texture.hair",
        "test_tuned_texture.py",
        ("TINTED", "1e9", "test_neither_forehead_nor_scarf_tells_the_colour_of_hair"),
    ),
    *changes(
        "texture.foot",
        "test_unseen_limbs.py",
        ("ODD", "1e9", "test_heels_have_the_colour_of_frontal_texels_of_the_shoe"),
        ("PLACE", "np.array([1, 0, 1])", "test_shoes_end_at_one_height"),
        ("SHOD", "1.0", "test_pumps_have_heels"),
        ("SHOD", "-1.0", "test_pumps_have_heels"),
        ("TIPS", "1.0", "test_pumps_have_heels"),
        ("TIPS", "-1.0", "test_pumps_have_heels"),
        ("COUNTER", "0.0", "test_pumps_have_heels"),
    ),
    *changes(
        "texture.foot",
        "test_heels.py",
        ("SOLE", "0.0", "test_soles_of_sandals_on_heels_have_the_shoes_colour"),
    ),
    *changes(
        "texture.worn",
        "test_worn.py",
        ("PURE", "-0.005", "test_texels_beside_another_class_are_not_alone"),
        ("ITS_OWN", "1.0", "test_of_an_open_coat_edges_in_the_colour_of_what_is_under_it_are_not_the_coat"),
    ),
    *changes(
        "texture.worn",
        "test_tuned_texture.py",
        ("SLEEVE", "0.001", "test_a_large_print_is_not_behind_where_sleeves_are_as_the_sides"),
        ("SLEEVES", "0.1", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("ALIKE", "-1.0", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("CLOTH", "-1.0", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("CLOTH", "2.0", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("EVEN", "0.0", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("EVEN", "9.0", "test_a_coat_has_the_pattern_of_its_sleeves_behind"),
        ("OTHER_CLOTH", "-1.0", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("OTHER_CLOTH", "0.9", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("WAIST", "0.5", "test_a_jacket_whose_sleeves_are_seen_covers_the_back"),
        ("SPREAD", "1.0", "test_a_jacket_of_tweed_is_told_by_its_sleeves"),
        ("SPREAD", "9.0", "test_a_jacket_of_tweed_is_told_by_its_sleeves"),
        ("OPEN", "1.0", "test_an_open_coat_is_closed_behind"),
        ("CHANGE", "0.1", "test_a_band_in_front_does_not_go_all_around"),
        ("VOTE", 'VOTE | {"accessory": 4.0}', "test_a_band_in_front_does_not_go_all_around"),
        ("BOTH", "0.0", "test_a_shirt_is_plain_behind_whatever_is_on_its_front"),
        ("FOREIGN", "0.0", "test_what_shows_beside_an_open_coat_is_not_behind"),
        ("BESIDE", "0.0", "test_what_shows_beside_an_open_coat_is_not_behind"),
    ),
    *changes(
        "texture.halves",
        "test_tuned_texture.py",
        ("ASIDE", "(2.0, 3.0)", "test_the_other_half_of_somebody_seen_from_the_side_is_alike"),
        ("ASIDE", "(-2.0, -1.0)", "test_the_other_half_of_somebody_seen_from_the_side_is_alike"),
    ),
    *changes(
        "texture.restore",
        "test_tuned_texture.py",
        ("SOFT_HEAD", "1e-3", "test_on_heads_the_seen_ends_softly_and_around_small_parts_it_does_not"),
        ("SMALL", "0.0", "test_on_heads_the_seen_ends_softly_and_around_small_parts_it_does_not"),
        ("RIM_LIT", "0.0", "test_the_light_at_the_rim_of_hair_does_not_tell_its_back"),
    ),
    *changes(
        "texture.face",
        "test_tuned_texture.py",
        ("HAIRLINE", "1e-6", "test_the_jaw_below_bare_ears_is_skin_and_hair_begins_softly"),
        ("MOST_SIDE", "0.1", "test_each_half_of_a_face_keeps_its_light"),
        ("SLANTED", "-1.0", "test_slanted_skin_is_not_continued_on_a_cheek"),
        ("BESIDE", "1.0", "test_slanted_skin_is_not_continued_on_a_cheek"),
    ),
    *changes(
        "texture.restore",
        "test_regression.py",
        ("HIPS", "1e-3", "test_light_of_legs_does_not_shine_through_a_skirt"),
        ("HIPS", "2.0", "test_light_of_legs_does_not_shine_through_a_skirt"),
    ),
    *changes(
        "texture.fold",
        "test_weave.py",
        ("CLEAR", "0.0", "test_a_pattern_is_taken_from_where_it_is_sharp"),
    ),
    *changes(
        "texture.weave",
        "test_weave.py",
        ("STRONG", "100.0", "test_a_button_is_not_carried"),
        ("HIGHER", "0.0", "test_stripes_that_change_with_height_stay_at_their_height"),
        ("TOLD", "(0.95, 1.0)", "test_a_likely_pattern_is_one_and_an_unlikely_one_is_none"),
        ("OTHER", "1.0", "test_a_likely_pattern_is_one_and_an_unlikely_one_is_none"),
        ("OTHER", "0.0", "test_a_likely_pattern_is_one_and_an_unlikely_one_is_none"),
        ("FINE", "(2.0, 3.0)", "test_wide_patterns_keep_their_strength_and_fine_ones_lose_single_lines"),
        ("CLIPPED", "2.0", "test_the_colour_behind_is_not_that_of_glaring_light"),
        ("FEWEST", "0", "test_too_little_seen_gives_no_pattern"),
        ("LIGHT", "0.025", "test_wide_patterns_keep_their_strength_and_fine_ones_lose_single_lines"),
        ("ODD", "1e6", "test_wide_patterns_keep_their_strength_and_fine_ones_lose_single_lines"),
        ("THIN", "10.0", "test_a_skirt_is_a_cylinder_and_patterns_keep_their_size_on_it"),
        ("ANGLES", "4", "test_a_skirt_is_a_cylinder_and_patterns_keep_their_size_on_it"),
    ),
    *changes(
        "texture.wrinkles",
        "test_weave.py",
        ("USUAL", "0.999", "test_wrinkles_go_on_behind_a_leg_but_no_thing_and_none_on_skin"),
        ("BROAD", "0.006", "test_wrinkles_go_on_behind_a_leg_but_no_thing_and_none_on_skin"),
        ("MOST", "0.02", "test_wrinkles_go_on_behind_a_leg_but_no_thing_and_none_on_skin"),
        ("PRINTED", "10.0", "test_wrinkles_are_not_taken_from_a_large_print"),
    ),
    *changes(
        "texture.light",
        "test_light.py",
        ("GROUND", "1.0", "test_what_lies_open_is_bright_and_what_is_covered_dark"),
        ("USUAL", "np.zeros(2)", "test_a_print_is_no_light_and_without_a_parse_it_is_the_usual_one"),
        ("DEVIATION", "np.full(2, 1e-3)", "test_the_light_of_a_photo_is_found"),
        ("EVIDENCE", "1e-3", "test_the_light_of_a_photo_is_found"),
        ("EVIDENCE", "1e6", "test_where_a_cloth_tells_little_the_light_is_between_its_own_and_the_usual_one"),
        ("UNLIKE", "100.0", "test_a_print_is_no_light_and_without_a_parse_it_is_the_usual_one"),
        ("MOST", "10.0", "test_the_light_of_a_photo_is_found"),
        ("STEP", "10.0", "test_a_print_is_no_light_and_without_a_parse_it_is_the_usual_one"),
    ),
    *changes(
        "texture.restore",
        "test_tuned_texture.py",
        ("TONE", "10.0", "test_the_other_half_of_somebody_seen_from_the_side_is_alike"),
    ),
    *changes(
        "texture.outliers",
        "test_tuned_texture.py",
        ("SLANTED", "0.2", "test_background_at_the_edge_is_replaced"),
        ("BORDER", "BORDER / 6", "test_background_at_the_edge_is_replaced"),
        ("STRAY", "1.0", "test_background_at_the_edge_is_replaced"),
        ("FAR", "0.4", "test_the_far_half_of_a_face_is_as_the_near_one"),
        ("FAR", "0.9", "test_the_far_half_of_a_face_is_as_the_near_one"),
        ("BETTER", "0.1", "test_the_far_half_of_a_face_is_as_the_near_one"),
        ("FOREHEAD", "1e-6", "test_skin_at_a_parting_stays_on_hair_with_a_shape"),
        ("FOREHEAD", "1.0", "test_skin_at_a_parting_stays_on_hair_with_a_shape"),
    ),
    *changes(
        "texture.restore",
        "test_tuned_texture.py",
        ("LIGHT", "LIGHT / 10", "test_no_seam_where_the_seen_ends"),
        ("FADE", "FADE / 10", "test_no_seam_where_the_seen_ends"),
        ("FADE", "FADE * 10", "test_light_on_the_body_does_not_reach_a_hidden_arm"),
    ),
    *changes(
        "texture.restore",
        "test_regression.py",
        ("GLOW", "GLOW / 20", "test_restored_colours_take_the_light_of_predicted_ones"),
        ("SAME_CLOTH", "SAME_CLOTH * 10", "test_restored_colours_take_the_light_of_predicted_ones"),
        ("DARK", "0.5", "test_restored_colours_take_the_light_of_predicted_ones"),
        ("MOST_LIGHT", "1.0", "test_restored_colours_take_the_light_of_predicted_ones"),
        ("ALIKE", "ALIKE / 10", "test_detail_counts_where_both_agree"),
        ("ALIKE", "ALIKE * 10", "test_detail_counts_where_both_agree"),
    ),
    *changes(
        "data.textures",
        "test_regression.py",
        ("NO_PARSE", "0.0", "test_textures_are_sampled_once_and_grow"),
    ),
    *changes(
        "neural.regression",
        "test_regression.py",
        ("SEEN", "0.0", "test_a_texel_is_seen_if_half_of_it_is"),
        ("SEEN", "0.95", "test_a_texel_is_seen_if_half_of_it_is"),
    ),
    *changes(
        "texture.nape",
        "test_tuned_texture.py",
        ("BEHIND", "np.pi", "test_the_nape_is_skin_above_a_level_collar"),
        ("LEAST", "LEAST * 1000", "test_the_nape_is_skin_above_a_level_collar"),
    ),
    *changes(
        "texture.hair",
        "test_tuned_texture.py",
        ("MOST_CONTRAST", "1.0", "test_hair_behind_has_strands_of_limited_contrast"),
        ("STRANDS", "[(w, l, x) for l, w, x in STRANDS]", "test_strands_run_from_the_crown_down"),
        ("FRONTAL", "0", "test_the_light_at_the_rim_of_hair_does_not_tell_its_back"),
        ("FRONTAL", "0", "test_the_light_at_the_rim_of_a_face_does_not_tell_its_cheeks"),
    ),
    *changes(
        "photo.matting",
        "test_tuned_photo.py",
        ("VOTE", "0.0", "test_alpha_follows_edges_of_low_contrast"),
        ("EPSILON", "EPSILON * 100", "test_alpha_follows_edges_of_low_contrast"),
        ("STEEP", "1.0", "test_alpha_is_unsure_in_a_thin_band_only"),
    ),
    *changes(
        "photo.mask",
        "test_tuned_photo.py",
        ("BAND", "BAND / 10", "test_grabcut_moves_the_outline_to_the_edge"),
    ),
    *changes(
        "photo.framing",
        "test_framing.py",
        ("ROOM", "0.2", "test_what_lies_around_changes_nothing"),
        ("FAR_AROUND", "FAR_AROUND / 3", "test_somebody_far_away_is_found"),
    ),
    *changes("photo.blazepose", "test_keypoints.py", ("WHOLE", "WHOLE * 10", "test_giants_hide_nobody")),
    *changes("photo.blazepose", "test_framing.py", ("FAR_TILE", "FAR_TILE * 4", "test_somebody_far_away_is_found")),
    *changes(
        "photo.parser_input",
        "test_tuned_photo.py",
        ("ABOVE", "0.05", "test_the_whole_person_is_in_the_parsers_crop"),
        ("ABOVE", "0.4", "test_the_whole_person_is_in_the_parsers_crop"),
        ("BELOW", "0.0", "test_the_whole_person_is_in_the_parsers_crop"),
        ("BESIDE", "0.0", "test_the_whole_person_is_in_the_parsers_crop"),
        ("SEEN", "0.1", "test_doubtful_points_are_not_drawn"),
        ("SEEN", "0.6", "test_doubtful_points_are_not_drawn"),
    ),
    *changes(
        "photo.parser_input",
        "test_parser.py",
        ("LYING", "LYING * 3", "test_the_crop_holds_the_person_upright"),
    ),
    *changes(
        "photo.person",
        "test_tuned_photo.py",
        ("MIN_PRESENCE", "0.5", "test_photos_cut_at_the_shin_are_told_from_whole_ones"),
        ("MIN_PRESENCE", "0.95", "test_photos_cut_at_the_shin_are_told_from_whole_ones"),
        ("MIN_VISIBILITY", "0.2", "test_photos_cut_at_the_shin_are_told_from_whole_ones"),
        ("OUTSIDE", "0.0", "test_feet_may_touch_the_border_but_not_lie_outside"),
        ("OUTSIDE", "0.1", "test_feet_may_touch_the_border_but_not_lie_outside"),
    ),
    *changes(
        "fit.view",
        "test_tuned_photo.py",
        ("FOCAL", "FOCAL * 2", "test_a_standing_person_in_a_phones_photo_is_three_to_four_metres_away"),
    ),
    *changes(
        "fit.clothing",
        "test_clothing.py",
        ("TRUST", 'TRUST | {"skirt": 1.0}', "test_outlines_are_trusted_by_class"),
        ("CLASS_STIFFNESS", 'CLASS_STIFFNESS | {"face": 1.0}',
         "test_vertices_take_the_class_that_is_seen_and_lend_it_to_their_twins"),
        ("COVERED", "0.0", "test_ears_are_under_hair_where_most_of_them_is_seen_as_hair"),
    ),
    *changes(
        "fit.shoes",
        "test_shoes.py",
        ("TOES", "0.9", "test_the_tops_of_toes_are_one_surface"),
        ("STEEP", "0.0", "test_the_tops_of_toes_are_one_surface"),
        ("SUNK", "0.0", "test_the_tops_of_toes_are_one_surface"),
        ("SOLE", "0.0", "test_soles_are_flat_and_close_the_arch"),
        ("WALL", "(0.0, 1e-6)", "test_soles_are_flat_and_close_the_arch"),
        ("SHOD", "0.0", "test_shoes_end_at_the_ankle_and_bare_feet_stay"),
        ("TIPS", "0.0", "test_pumps_cover_the_tips_of_toes_alone"),
    ),
    *changes(
        "fit.heels",
        "test_heels.py",
        ("LIKELY", "0.5", "test_feet_that_point_down_confirm_heels"),
        ("DEGREE", "0.0", "test_feet_that_point_down_confirm_heels"),
        ("HEIGHTS", "np.linspace(0.04, 0.06, 7)", "test_heels_are_as_high_as_the_mask_is_deep"),
        ("MIDDLE", "0.0", "test_feet_at_the_photos_end_tell_no_height"),
        ("SEAT", "0.0", "test_a_heel_is_high_and_narrow_and_stands_level_with_the_toes"),
        ("BLOCK", "0.12", "test_a_heel_is_high_and_narrow_and_stands_level_with_the_toes"),
        ("WALL", "(0.0, 1e-6)", "test_a_heel_is_high_and_narrow_and_stands_level_with_the_toes"),
        ("TAPER", "0.0", "test_a_heel_is_high_and_narrow_and_stands_level_with_the_toes"),
    ),
    *changes(
        "nets.renderer",
        "test_tuned_neural.py",
        ("GATE", "0.0", "test_an_untrained_renderer_starts_from_the_photo_and_the_body"),
        ("ALPHA", "0.0", "test_an_untrained_renderer_starts_from_the_photo_and_the_body"),
    ),
    *changes(
        "neural.render",
        "test_tuned_neural.py",
        ("HAZE", "0.0", "test_the_sigmoids_haze_is_cleared"),
        ("MOVED", "1e9", "test_outlines_that_the_network_moves_are_the_networks"),
        ("MOVED", "0.01", "test_outlines_that_the_network_leaves_are_the_meshs"),
    ),
    *changes(
        "neural.encode",
        "test_tuned_neural.py",
        ("MARGIN", "MARGIN / 2", "test_pictures_reach_beyond_the_body"),
    ),
    *changes(
        "neural.blend",
        "test_inpaint.py",
        ("SOFT", "0", "test_soft_borders_stay_within_islands"),
    ),
    *changes(
        "neural.refine",
        "test_inpaint.py",
        ("FADE", "(0.0, 0.1)", "test_refinement_nears_the_photo_and_leaves_the_unseen"),
    ),
    *changes(
        "evaluate.people",
        "test_evaluate.py",
        ("NEW_POSE", "90.0", "test_angles_and_poses"),
        ("MAX_ERROR", "30.0", "test_refit"),
    ),
    *changes(
        "export.rig",
        "test_export_programs.py",
        ("_XBOT_TILT", '{**_XBOT_TILT, "spine1": 0.0}', "test_bones_rest_as_those_of_x_bot"),
        ("_XBOT_SHOULDER", "np.array([1.0, 0, 0])", "test_bones_rest_as_those_of_x_bot"),
    ),
    *changes("export.simplify", "test_simplify.py", ("FACE", "0.0", "test_sizes_of_an_avatar")),
]  # fmt: skip


def source(module: str, package: Path = ROOT / "src" / "dinar") -> Path:
    return package.joinpath(*module.split(".")).with_suffix(".py")


def last_line(text: str, constant: str) -> int:
    """The number of the line on which the module's assignment to a constant ends; 0: there is none."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(n, ast.Name) and n.id == constant for t in targets for n in ast.walk(t)):
                return node.end_lineno or 0
    return 0


def changed(text: str, change: Change) -> str:
    """The module's source with the constant assigned again after its own assignment."""
    lines = text.splitlines(keepends=True)
    at = last_line(text, change.constant)
    if not at:
        raise SystemExit(f"{change.module} assigns no {change.constant}: correct the table in {Path(__file__).name}")
    return "".join([*lines[:at], f"{change.constant} = {change.value}\n", *lines[at:]])


def copy_package(to: Path) -> Path:
    """The package at ``to``/dinar: its modules as copies, its data as links where the system has them."""

    def link(a: str, b: str) -> None:
        if not a.endswith(".py"):
            try:
                os.symlink(a, b)
                return
            except OSError:
                pass
        shutil.copyfile(a, b)

    ignore = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "src" / "dinar", to / "dinar", ignore=ignore, copy_function=link))


def run(copy: Path, tests: list[str]) -> tuple[int, str]:
    """pytest's exit status and output, for tests that import the copy."""
    env = os.environ | {"PYTHONPATH": str(copy.parent), "PYTHONPYCACHEPREFIX": str(copy.parent / "pyc")}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=line", "-p", "no:cacheprovider", "-p", "no:randomly"]
    ids = [f"tests/{t}" for t in dict.fromkeys(tests)]
    done = subprocess.run([*command, *ids], cwd=ROOT, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description="Check that the tests notice changes of tuned constants.")
    parser.add_argument("--only", metavar="NAME", help="rows of this constant, or of this module")
    only = parser.parse_args().only
    rows = [c for c in CHANGES if only in (None, c.constant, c.module)]
    if not rows:
        raise SystemExit(f"no row of {only}: expected a constant or a module of the table")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_package(Path(folder))
        status, said = run(copy, [c.test for c in rows])
        if status or str(copy) not in said_location(copy):
            print(said)
            raise SystemExit("the tests fail without a change, or do not import the copy")
        print(f"unchanged: {said.strip().splitlines()[-1]}", flush=True)
        for c in rows:
            path = source(c.module, copy)
            text = path.read_text(encoding="utf-8")
            path.write_text(changed(text, c), encoding="utf-8")
            status, said = run(copy, [c.test])
            path.write_text(text, encoding="utf-8")
            verdict = {0: "MISSED", 1: "caught"}.get(status, "ERROR")  # 1: a test failed; others: pytest could not run
            missed += verdict != "caught"
            failed = re.findall(r"^(?:FAILED|ERROR) \S*?::(\w+)", said, re.M)
            print(f"{verdict}  {c.module + '.' + c.constant:34} {c.value:40} {failed[0] if failed else ''}", flush=True)
            if verdict == "ERROR":
                print(said)
    print(f"{len(rows) - missed} of {len(rows)} changes caught")
    return 1 if missed else 0


def said_location(copy: Path) -> str:
    env = os.environ | {"PYTHONPATH": str(copy.parent), "PYTHONPYCACHEPREFIX": str(copy.parent / "pyc")}
    code = "import dinar; print(dinar.__file__)"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
