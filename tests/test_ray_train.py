"""Ray Train starts the processes of a training, which learn what one learns."""

import numpy as np
import pytest

from temzoo.data.synthetic.synthesize import write_dataset


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's of its own options
def test_ray_train_starts_a_training_of_two_machines(tmp_path):
    pytest.importorskip("ray.train", reason="needs ray[train]")
    import ray
    from ray.train import RunConfig, ScalingConfig, get_context
    from ray.train.tensorflow import TensorflowTrainer

    images, labels = write_dataset(tmp_path, n=3, size=64, n_particles=3, diameter_nm=(6.0, 12.0))

    def learn(config):
        import keras
        import tensorflow as tf

        import temzoo

        keras.utils.set_random_seed(get_context().get_world_rank() if config["several"] else 0)
        strategy = tf.distribute.MultiWorkerMirroredStrategy() if config["several"] else None
        examples = temzoo.load_dataset(images=images, labels=labels)
        model = temzoo.get_model("unet", filters=2, depth=1)
        how = {"epochs": 2, "steps_per_epoch": 5, "batch": 4, "crop": 32, "progress": False}
        temzoo.train(model, examples[:2], examples[2:], out=config["out"], strategy=strategy, **how)

    one, two = ({"out": str(tmp_path / name), "several": name == "two"} for name in ("one", "two"))
    learn(one)
    ray.init("local", num_cpus=3)  # else it waits for the last one of this machine, also if gone
    try:
        TensorflowTrainer(
            learn,
            train_loop_config=two,
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(storage_path=str(tmp_path / "ray")),
        ).fit()
    finally:
        ray.shutdown()
    expected, found = (
        np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True)["loss"]
        for name in ("one", "two")
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
