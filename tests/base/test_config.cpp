// SPDX-License-Identifier: Apache-2.0
// The schema machinery by itself, on a struct that has a key of every type.
#include <doctest/doctest.h>

#include <limits>

#include "colossal/base/config/check.h"
#include "colossal/base/config/render.h"
#include "colossal/base/config/review.h"
#include "colossal/base/error.h"
#include "tests/support/error.h"

using namespace colossal;
using namespace colossal::config;

namespace {

enum class Colour { red, green };

struct Inner {
  std::string mode = "plain";
  int64_t size = 4;
  bool operator==(const Inner&) const = default;
};

struct Things {
  bool flag = true;
  int64_t count = 3;
  double rate = 0.5;
  std::string text = "a \"quoted\"\ttext\n\x01";
  std::vector<std::string> words = {"x", "y"};
  std::vector<int64_t> sizes;
  std::optional<int64_t> limit;
  std::optional<std::string> note;
  Colour colour = Colour::green;
  std::optional<Inner> inner;
  bool operator==(const Things&) const = default;
};

struct Root {
  Things things;
  bool operator==(const Root&) const = default;
};

void describe_things(Section<Things>& s) {
  s.key("flag", &Things::flag, "A flag.");
  s.key("count", &Things::count, "A count.").at_least(1).at_most(9);
  s.key("rate", &Things::rate, "A rate.").above(0).below(1);
  s.key("text", &Things::text, "Any text | with a bar.");
  s.key("words", &Things::words, "Words.");
  s.key("sizes", &Things::sizes, "Sizes.").at_least(0).also_called({"dims"});
  s.key("limit", &Things::limit, "A limit.").unset_means("none").only_with("things.flag", {"true"});
  s.key("note", &Things::note, "A note.");
  s.choice("colour", &Things::colour, {{"red", Colour::red}, {"green", Colour::green}}, "A colour.")
      .meant("crimson", "red");
  s.table("inner", &Things::inner, "An inner table.", [](Section<Inner>& inner) {
    inner.key("mode", &Inner::mode, "A mode.").one_of({"plain", "fancy"});
    inner.key("size", &Inner::size, "A size.").at_least(1);
  });
}

const Schema& schema() {
  static const Schema schema = make_schema<Root>([](Section<Root>& root) {
    root.table("things", &Root::things, "Things of every type.", describe_things);
  });
  return schema;
}

Root read(const std::string& toml, const std::vector<std::string>& changes = {}) {
  Root root;
  Review review(schema(), "t.toml");
  review.take(parse_toml(toml, "t.toml"));
  for (const std::string& change : changes) review.take(parse_override(change));
  review.write(&root);
  review.check_conditions(&root);
  review.finish();
  return root;
}

std::string problem(const std::string& toml, const std::vector<std::string>& changes = {}) {
  try {
    read(toml, changes);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no problem";
}

}  // namespace

TEST_CASE("every type is read from a file") {
  const Root root = read(R"([things]
flag = false
count = 7
rate = 1e-3
text = "ü"
words = ["a", "b", "c"]
sizes = [1, 2]
limit = 5
colour = "red"
inner = { mode = "fancy" }
)",
                         {"things.flag=true"});
  CHECK(root.things.flag);
  CHECK(root.things.count == 7);
  CHECK(root.things.rate == 1e-3);
  CHECK(root.things.text == "ü");
  CHECK(root.things.words == std::vector<std::string>{"a", "b", "c"});
  CHECK(root.things.sizes == std::vector<int64_t>{1, 2});
  CHECK(root.things.limit == 5);
  CHECK_FALSE(root.things.note.has_value());
  CHECK(root.things.colour == Colour::red);
  CHECK(root.things.inner == Inner{"fancy", 4});
  CHECK(read("") == Root{});
}

TEST_CASE("--set takes TOML or bare text, and wins over the file") {
  CHECK(read("[things]\ncount = 0", {"things.count=2"}).things.count ==
        2);  // the bad value is not there any more
  CHECK(read("", {"things.text=bare words = fine"}).things.text == "bare words = fine");
  CHECK(read("", {"things.text=\"in quotes\""}).things.text == "in quotes");
  CHECK(read("", {"things.text=12"}).things.text == "12");
  CHECK(read("", {"things.note="}).things.note == "");
  CHECK(read("", {"things.words=one"}).things.words == std::vector<std::string>{"one"});
  CHECK(read("", {"things.words=[\"one\", \"two\"]"}).things.words == std::vector<std::string>{"one", "two"});
  CHECK(read("", {"things.inner.size=8"}).things.inner == Inner{"plain", 8});
  CHECK(read("", {"things.inner={mode=\"fancy\",size=2}", "things.inner.size=3"}).things.inner ==
        Inner{"fancy", 3});
  CHECK(read("", {"things.rate = 0.25"}).things.rate == 0.25);
  CHECK(problem("", {"things.count=abc", "things.colour=crimson"}) ==
        "--set things.colour: things.colour = \"crimson\" is unknown. Allowed: red, green. Did you mean "
        "\"red\"?\n"
        "--set things.count: things.count = \"abc\" is text, not a whole number. Write for example "
        "things.count = 3.");
  CHECK_THROWS_WITH_AS(
      parse_override("things.count"),
      "--set things.count: not of the form section.key=value. Write for example --set train.steps=100.",
      ConfigError);
}

TEST_CASE("the dump reads back to the same values, whatever they are") {
  Root root;
  root.things.rate = 0.1 + 0.2;
  root.things.words = {"", "\\", "\xE2\x82\xAC \x7f"};
  root.things.sizes = {0, std::numeric_limits<int64_t>::max()};
  root.things.inner = Inner{"fancy", 1};
  root.things.limit = 1;
  for (const bool help : {false, true}) {
    CHECK(read(to_toml(schema(), &root, {.help = help})) == root);
  }
  root.things.flag = false;  // things.limit has no effect any more, so it is left out
  const Root again = read(to_toml(schema(), &root, {.help = true}));
  CHECK_FALSE(again.things.limit.has_value());
  CHECK(read(to_toml(schema(), &root)).things.inner == root.things.inner);
}

TEST_CASE("the dump with help says what a key is and who set it") {
  Root root;
  root.things.count = 5;
  const std::string text =
      to_toml(schema(), &root, {.help = true, .origins = {{"things.count", {"t.toml", 3}}}});
  CHECK(text.find("# Things of every type.\n[things]\n# A flag. (default true)\nflag = true\n\n"
                  "# A count. (default 3; at least 1 and at most 9)\ncount = 5  # t.toml:3\n") == 0);
  CHECK(text.find("# A limit. (default none; only with things.flag = true)\n# limit =\n") !=
        std::string::npos);
}

TEST_CASE("problems come in file order, each with its line, then those of --set") {
  CHECK(problem("[things]\nrate = 2\n\n[things.inner]\nsize = 0\n[other]\n",
                {"things.flag=7", "nonsense.key=1"}) ==
        "t.toml:2: things.rate = 2 is too large. Allowed: above 0 and below 1.\n"
        "t.toml:5: things.inner.size = 0 is too small. Allowed: at least 1.\n"
        "t.toml:6: unknown key \"other\". Sections: things, things.inner.\n"
        "--set nonsense.key: unknown key \"nonsense.key\". Sections: things, things.inner.\n"
        "--set things.flag: things.flag = 7 is a whole number, not true or false. Write for example "
        "things.flag = true.");
}

TEST_CASE("wrong types come with what to write instead") {
  const auto one = [](const std::string& line) { return problem("[things]\n" + line); };
  CHECK(one("count = 2.0") == "t.toml:2: things.count = 2.0 is not a whole number. Write things.count = 2.");
  CHECK(one("count = 2.5") == "t.toml:2: things.count = 2.5 is not a whole number. Nearest: 2 or 3.");
  CHECK(one("count = inf") ==
        "t.toml:2: things.count = inf is not a whole number. Write for example things.count = 3.");
  CHECK(
      one("count = \"4\"") ==
      "t.toml:2: things.count = \"4\" is text, not a whole number. Write things.count = 4, without quotes.");
  CHECK(one("flag = \"yes\"") ==
        "t.toml:2: things.flag = \"yes\" is text, not true or false. Write things.flag = true, without "
        "quotes.");
  CHECK(one("flag = 0") ==
        "t.toml:2: things.flag = 0 is a whole number, not true or false. Write things.flag = false.");
  CHECK(one("rate = nan") ==
        "t.toml:2: things.rate = nan is not a finite number. Allowed: above 0 and below 1.");
  CHECK(one("note = 3") ==
        "t.toml:2: things.note = 3 is a whole number, not text. Write things.note = \"3\", in quotes.");
  CHECK(one("note = 2024-01-01T00:00:00Z") == "no problem");
  CHECK(
      one("words = [\"a\", 5]") ==
      "t.toml:2: things.words[1] = 5 is a whole number, not text. Write things.words[1] = \"5\", in quotes.");
  CHECK(one("sizes = [-1]") == "t.toml:2: things.sizes[0] = -1 is too small. Allowed: at least 0.");
  CHECK(one("inner = 3") ==
        "t.toml:2: things.inner = 3 is a whole number, not a table. Keys of [things.inner]: mode, size.");
  CHECK(one("count = { a = 1 }") ==
        "t.toml:2: things.count = { a = 1 } is a table, not a whole number. Write for example things.count = "
        "3.");
  CHECK(one("colour = \"RED\"") ==
        "t.toml:2: things.colour = \"RED\" is unknown. Allowed: red, green. Did you mean \"red\"?");
  CHECK(one("flag = false\nlimit = 1") ==
        "t.toml:3: things.limit has no effect with things.flag = false. Remove it, or set things.flag to "
        "true.");
  CHECK(one("dims = [1]") == "t.toml:2: unknown key \"things.dims\". Did you mean \"things.sizes\"?");
  CHECK(one("qwertz = 1") ==
        "t.toml:2: unknown key \"things.qwertz\". Keys of [things]: flag, count, rate, text, words, sizes, "
        "limit, note, colour, inner.");
}

TEST_CASE("what --set says is not said twice") {
  Review review(schema(), "t.toml");
  review.take(parse_override("things.text=a"));
  review.take(parse_toml("[things]\nrate = 0.1", "t.toml"));
  review.require(false, {"things.text"}, "things.text: a is empty.");
  review.require(false, {"things.text"}, "things.text = a is no file.");
  review.require(false, {"things.rate"}, "things.rate: of something.");
  CHECK_THROWS_WITH_AS(review.finish(),
                       "t.toml:2: things.rate: of something.\n--set things.text: a is empty.\n"
                       "--set things.text: things.text = a is no file.",
                       ConfigError);
}

TEST_CASE("a key, or a table, for the second time: both lines") {
  const auto told = [](const std::string& text) {
    return colossal::testing::error_of<ConfigError>([&] { parse_toml(text, "t.toml"); }, ExitCode::config);
  };
  parse_toml("[train]\nsteps = 3\n\n[run]\nsteps = 1\n[model]\n# steps = 4\n", "t.toml");  // not twice
  CHECK(told("[train]\nsteps = 3\nseed = 1 # steps = 2\nsteps = 4\n") ==
        "t.toml:4: train.steps is given twice, first on line 2. Remove one of the lines.");
  CHECK(told("[train]\nsteps = 3\n[run]\n[train]\nseed = 4\n") ==
        "t.toml:4: [train] is given twice, first on line 1. Remove one of the headings.");
}

TEST_CASE("rules skip keys that are already bad") {
  Root root;
  Review review(schema(), "t.toml");
  review.take(parse_toml("[things]\ncount = 99\nrate = 0.1", "t.toml"));
  review.write(&root);
  review.require(false, {"things.count", "things.rate"}, "must not be reported");
  review.require(false, {"things.text", "things.rate"}, "stands where the given key stands");
  review.require(false, {"things.text"}, "stands nowhere");
  CHECK_THROWS_WITH_AS(review.finish(),
                       "t.toml:2: things.count = 99 is too large. Allowed: at least 1 and at most 9.\n"
                       "t.toml:3: stands where the given key stands\nt.toml: stands nowhere",
                       ConfigError);
}

TEST_CASE("JSON schema and reference") {
  const Json json = to_json_schema(schema(), "Things");
  const Json& things = json["properties"]["things"];
  CHECK(json["additionalProperties"] == false);
  CHECK(things["properties"]["count"] ==
        Json::parse(R"({"type":"integer","minimum":1,"maximum":9,"description":"A count.","default":3})"));
  CHECK(things["properties"]["rate"]["exclusiveMinimum"] == 0.0);
  CHECK(things["properties"]["colour"]["enum"] == Json::parse(R"(["red","green"])"));
  CHECK(things["properties"]["inner"]["properties"]["mode"]["type"] == "string");
  CHECK(things["properties"]["words"]["anyOf"][1]["items"]["type"] == "string");
  const std::string page = to_markdown(schema());
  CHECK(page.find("| `count` | whole number | `3` | at least 1 and at most 9 | A count. |\n") !=
        std::string::npos);
  CHECK(page.find("Any text \\| with a bar.") != std::string::npos);
}
