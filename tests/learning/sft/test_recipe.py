import pytest

from segagent.core import InputError
from segagent.learning.sft import default_recipe, load_recipe, load_recipe_from


def test_a_recipe_survives_its_json_form():
    recipe = load_recipe("embedded", steps=7, seed=3)
    assert load_recipe_from(recipe.to_dict()) == recipe
    assert recipe.num_steps(10_000) == 7


def test_steps_follow_from_epochs():
    assert load_recipe("embedded", epochs=2.0, batch_size=10).num_steps(105) == 21


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch = 2", "unknown setting 'epoch'"),
        ("epochs = 'two'", "epochs must be of type float"),
        ("batch_size = 1.5", "batch_size must be of type int"),
        ("batch_size = true", "batch_size must be of type int"),
        ("batch_size = 0", "batch_size must be above 0"),
        ("steps = 0", "steps must be at least 1"),
        ("dtype = 'int8'", "dtype 'int8'"),
        ("warmup = 1.0", "warmup"),
        ("= 3", "cannot be read"),
    ],
)
def test_a_damaged_recipe_is_refused_by_name(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="mine") as error:
        load_recipe(str(path))
    assert said in str(error.value)


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(InputError, match="embedded"):
        load_recipe("no-such-recipe")


def test_every_recipe_that_comes_along_can_be_read():
    assert default_recipe("embedded").name == "embedded"


def test_policies_without_weights_cannot_be_trained():
    with pytest.raises(InputError, match="embedded:DIR or hf:DIR"):
        default_recipe("openai:model@http://127.0.0.1:1/v1")
