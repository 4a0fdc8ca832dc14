"""The MobileNet encoder: frozen, fed with grey, its weights found or the lack explained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import temzoo
from temzoo import cli
from temzoo.data.synthetic import write_dataset
from temzoo.models import mobilenet as module
from temzoo.zoo import pretrained


def build(**config):
    return temzoo.get_model(
        "unet_mobilenet", **{"alpha": 0.25, "encoder_weights": None, "compile": False, **config}
    )


def test_skips_are_taken_before_each_stride():
    encoder = module.build_encoder(1, 0.25, None)
    shapes = encoder.compute_output_shape((1, 64, 96, 1))
    assert [s[1:3] for s in shapes] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_grey_stem_equals_replicated_grey():
    keras.utils.set_random_seed(0)
    colour = module.mobilenet(3, 0.25)
    grey = module.mobilenet(1, 0.25)
    stem, *rest = colour.get_weights()
    grey.set_weights([stem.sum(axis=2, keepdims=True), *rest])
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 1)).astype("float32")
    np.testing.assert_allclose(grey(x), colour(np.repeat(x, 3, -1)), atol=1e-4)


@pytest.mark.parametrize(("trainable", "blocks"), [(False, set()), ("deep", {*range(7, 14)})])
def test_which_blocks_learn(trainable, blocks):
    encoder = build(encoder_trainable=trainable).get_layer("encoder")
    learning = {int(v.path.split("_")[2].split("/")[0]) for v in encoder.trainable_variables}
    assert learning == blocks


def test_whole_encoder_learns():
    encoder = build(encoder_trainable=True).get_layer("encoder")
    assert len(encoder.trainable_variables) == 81


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"alpha": 0.3}, r"alpha must be one of \[0.25, 0.5, 0.75, 1.0\]"),
        ({"encoder_trainable": "all"}, 'encoder_trainable must be False, True or "deep"'),
        ({"decoder_filters": (8, 8)}, "decoder_filters gives one width per resolution"),
        ({"pyramid": (2, 3)}, r"pyramid is one or several of \(0.5, 1, 2, 4, 8\), each once"),
        ({"pyramid": ()}, "pyramid is one or several"),
        ({"negatives": "no"}, "negatives must be True or False. Received: negatives='no'"),
        ({"pyramid": (2, 2)}, "pyramid is one or several"),
        ({"encoder_trainable": True, "encoder_weights": "x.h5"}, None),
    ],
)
def test_impossible_keywords(config, message):
    error = ValueError if message else FileNotFoundError
    with pytest.raises(error, match=message or "Received: x.h5, which is not there"):
        build(**config)


# Keras warns of the layers it could not match before it raises.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_a_file_of_another_width_is_explained(tmp_path):
    path = tmp_path / "narrow.weights.h5"
    module.mobilenet(3, 0.25).save_weights(path)
    with pytest.raises(ValueError, match=r"does not fit a MobileNet of alpha=0.5"):
        build(alpha=0.5, encoder_weights=str(path))


@pytest.fixture
def offline(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def test_without_a_network_one_short_error_names_the_shipped_weights(offline, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        temzoo.get_model("unet_mobilenet")
    assert str(caught.value) == (
        'Pass weights="emps" (trained, no download): ImageNet\'s'
        f" mobilenet_1_0_224_tf_no_top.h5 is not in {tmp_path / 'models'} and could not be"
        " downloaded."
    )
    assert caught.value.in_shell.startswith(
        "Type temzoo train … --weights emps (trained, no download): "
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_without_shipped_weights_the_error_names_file_and_place(offline, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        temzoo.get_model("mobilenet", alpha=0.25)
    said, typed = str(caught.value), caught.value.in_shell
    assert "mobilenet_2_5_224_tf_no_top.h5 into" in said
    assert f"{tmp_path / 'models'}, or pass encoder_weights=PATH, or encoder_weights=N" in said
    assert "type --set encoder_weights=PATH, or --set encoder_weights=None --set e" in typed


def test_a_command_says_what_to_type_without_a_network(offline, tmp_path, monkeypatch, capsys):
    images, labels = write_dataset(tmp_path, n=2, size=64, n_particles=2)
    where = ["--images", str(images), "--labels", str(labels), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["temzoo", "train", "unet_mobilenet", *where, "--val", "0.5"])
    with pytest.raises(SystemExit):
        cli.main()
    assert (
        "temzoo: Type temzoo train … --weights emps (trained, no download): "
        in capsys.readouterr().err
    )


@pytest.mark.shared
def test_imagenet_weights_reach_the_encoder(shared):
    path = shared / "keras/models/mobilenet_2_5_224_tf_no_top.h5"
    model = build(encoder_weights=str(path))
    reference = keras.applications.MobileNet(
        input_shape=(64, 64, 3), alpha=0.25, include_top=False, weights=str(path)
    )
    x = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 1)).astype("float32")
    bottom = model.get_layer("encoder")(x)[-1]
    np.testing.assert_allclose(bottom, reference(np.repeat(x, 3, -1)), atol=1e-4)


@pytest.mark.shared
def test_the_dequantized_file_loads_by_path(shared):
    path = shared / "keras/models/mobilenet_1_0_224_dequantized_no_top.h5"
    model = build(alpha=1.0, encoder_weights=str(path))
    assert np.isfinite(model(np.zeros((1, 32, 32, 1), "uint8"))).all()


def test_the_shallow_skip_brings_single_pixels_to_the_output():
    """With the coarser levels cut off, an output pixel still knows the input around it."""
    keras.utils.set_random_seed(2)
    model = build()
    coarse = model.get_layer("up4_reduce")
    coarse.set_weights([w * 0 for w in coarse.get_weights()])
    pixels = np.random.default_rng(0).integers(90, 110, (1, 64, 64, 1)).astype("float32")
    changed = pixels.copy()
    changed[0, 33, 30] = 199 - pixels[0, 33, 30]  # the percentiles stay where they are
    difference = np.abs(np.asarray(model(changed)) - np.asarray(model(pixels)))[0, ..., 1]
    rows, cols = np.nonzero(difference > 1e-6)
    assert difference[33, 30] > 1e-3
    assert max(abs(rows - 33).max(), abs(cols - 30).max()) <= 3  # three 3 x 3 convolutions


@pytest.mark.parametrize("pyramid", [(2,), (1, 4), (4, 2), (0.5, 1, 2)])
def test_a_pyramid_gives_one_answer_per_pixel(pyramid):
    model = build(pyramid=pyramid, decoder_filters=(8, 8, 8, 8, 8))
    assert model(np.zeros((1, 70, 131, 1))).shape == (1, 70, 131, 2)
    assert model.get_layer("pad").multiple == int(32 * max(pyramid))


def test_all_scales_share_one_encoder():
    narrow = {"decoder_filters": (8, 8, 8, 8, 8)}
    count = [build(pyramid=p, **narrow).get_layer("encoder").count_params() for p in ((1,), (2, 4))]
    assert count[0] == count[1]


def test_a_pyramid_sees_farther():
    """What lies 400 px away can change the answer of the pyramid, and not that of the plain one."""
    image = tf.constant(np.random.default_rng(0).normal(size=(1, 128, 1024, 1)).astype("float32"))
    reached = {}
    for pyramid in ((1,), (2, 4)):
        keras.utils.set_random_seed(0)
        model = build(pyramid=pyramid, decoder_filters=(8, 8, 8, 8, 8), norm=None)
        core = keras.Model(model.get_layer("normalize").output, model.output)
        with tf.GradientTape() as tape:
            tape.watch(image)
            answer = tf.reduce_sum(core(image)[:, :, 656:, 0])
        reached[pyramid] = float(tf.reduce_sum(tf.abs(tape.gradient(answer, image)[:, :, :256])))
    assert reached[(1,)] == 0 < reached[(2, 4)]


def test_negatives_average_two_answers_of_the_same_weights():
    plain = build(pyramid=(1, 2), decoder_filters=(8, 8, 8, 8, 8))
    both = build(pyramid=(1, 2), decoder_filters=(8, 8, 8, 8, 8), negatives=True)
    both.set_weights(plain.get_weights())
    x = np.random.default_rng(0).integers(0, 255, (3, 45, 70, 1)).astype("float32")
    expected = (plain(x) + plain(255 - x)) / 2
    np.testing.assert_allclose(both(x), expected, atol=1e-5)
    np.testing.assert_allclose(both(255 - x), both(x), atol=1e-5)


def test_negatives_change_what_is_seen_not_what_was_learnt(tmp_path):
    path = tmp_path / "a.weights.h5"
    plain = build(pyramid=(1, 2), decoder_filters=(8, 8, 8, 8, 8))
    pretrained.save(plain, path)
    config = {"alpha": 0.25, "encoder_weights": None, "pyramid": (1, 2)}
    pretrained.write_card(
        path,
        pretrained.WeightsCard("unet_mobilenet", {**config, "decoder_filters": (8, 8, 8, 8, 8)}),
    )
    both = temzoo.get_model("unet_mobilenet", weights=path, negatives=True, compile=False)
    for ours, theirs in zip(both.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
