// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/base/version.h"
#include "colossal/train/config.h"

namespace colossal::cli {
namespace {

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// "--tokens N      most new tokens (default: 128)"; positionals in capitals, as the usage line has them.
class Help : public CLI::Formatter {
 public:
  Help() {
    column_width(26);
    label("Positionals", "Arguments");
    label("SUBCOMMAND", "COMMAND");
  }
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    const std::string name = CLI::Formatter::make_option_name(option, is_positional);
    return is_positional ? upper(name) : name;
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const bool takes_value = option->get_type_size() != 0 && !option->get_positional();
    return takes_value ? " " + option->get_type_name() : "";
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string standard = option->get_default_str();
    const bool shown = option->get_type_size() != 0 && !standard.empty() && standard != "[]";
    return option->get_description() + (shown ? fmt::format(" (default: {})", standard) : "");
  }
};

// The command that was called, as far as the words on the line are commands.
struct Called {
  const CLI::App* app;
  std::string words;  // "colossal checkpoint export"
};

Called called(const CLI::App& app) {
  Called result{&app, app.get_name()};
  while (!result.app->get_subcommands().empty()) {
    result.app = result.app->get_subcommands().front();
    result.words += " " + result.app->get_name();
  }
  return result;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    if (option->get_lnames().empty() && !option->get_snames().empty())
      names.push_back("-" + option->get_snames().front());
  }
  return names;
}

// An option that does not exist; keys of a run file are what many hope to find as options.
std::string unknown_option(const Called& called, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  const std::string bare = name.substr(std::min(name.size(), name.find_first_not_of('-')));
  const std::string command = called.app->get_name();
  const bool has_keys = command == "train" || command == "config" || command == "layout";
  const auto key = has_keys ? train::nearest_run_key(bare) : std::nullopt;
  const std::vector<std::string> names = options_of(*called.app);
  const auto option = nearest_spelling(name, names);
  const bool is_key = key && key->ends_with(bare);
  std::string text = fmt::format("there is no option \"{}\".", name);
  if (option && !is_key) return text + did_you_mean(option);
  if (key) return text + fmt::format(" Did you mean \"--set {}=...\"?", *key);
  return text + fmt::format(" Options: {}.", join(names, ", "));
}

std::string unknown_word(const Called& called, const std::string& word) {
  const std::vector<std::string> commands = commands_of(*called.app);
  if (!commands.empty()) {
    const auto near = nearest_spelling(word, commands);
    return fmt::format("there is no command \"{}\".{}", word,
                       near ? did_you_mean(near) : fmt::format(" Commands: {}.", join(commands, ", ")));
  }
  const bool change = word.find('=') != word.npos && called.app->get_option_no_throw("--set") != nullptr;
  return fmt::format("\"{}\" is one argument too many.{}", word,
                     change ? fmt::format(" Did you mean \"--set {}\"?", word) : "");
}

const CLI::Option* named_at_start(const CLI::App& app, const std::string& text) {
  return app.get_option_no_throw(text.substr(0, text.find_first_of(": ")));
}

// What is wrong with the values of all options: CLI11 stops at the first.
std::string wrong_values(const CLI::App& app) {
  std::vector<std::string> problems;
  for (const CLI::Option* option : app.get_options()) {
    try {
      if (option->count() > 0) option->reduced_results();
    } catch (const CLI::ValidationError& error) {
      const std::string what = error.what();
      problems.push_back(what + (what.ends_with('?') ? "" : "."));
    } catch (const CLI::ParseError&) {
      // Another kind of mistake: told when the values are right.
    }
  }
  return join(problems, " ");
}

// CLI11's words are for programmers.
std::string problem_of(const CLI::App& app, const CLI::ParseError& error,
                       const std::vector<std::string>& arguments) {
  const Called called = cli::called(app);
  const std::string what = error.what();
  const CLI::Option* option = named_at_start(*called.app, what);
  // "-np 2" of other launchers reads as -n with the value "p".
  for (const std::string& word : arguments) {
    const bool glued =
        word.size() > 2 && word.starts_with("-n") && std::isalpha(static_cast<unsigned char>(word[2]));
    if (glued && what.starts_with("-n:")) return unknown_option(called, word);
  }
  if (dynamic_cast<const CLI::ValidationError*>(&error) != nullptr) return wrong_values(*called.app);
  if (const std::vector<std::string> left = app.remaining(/*recurse=*/true); !left.empty()) {
    const std::string& word = left.front();
    return word.size() > 1 && word[0] == '-' ? unknown_option(called, word) : unknown_word(called, word);
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    if (option != nullptr)
      return fmt::format("{} is missing: {}.", upper(option->get_name()), option->get_description());
    return fmt::format("a command is missing. Commands: {}.", join(commands_of(*called.app), ", "));
  }
  if (option != nullptr && dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    return what.find("missing") != what.npos
               ? fmt::format("{} needs a value: {}.", option->get_name(), option->get_description())
               : fmt::format("{} is given more than once.", option->get_name());
  }
  return what + ".";
}

std::string refusal(const CLI::App& app, const std::string& problem) {
  return fmt::format("command line: {} See `{} --help`.", problem, called(app).words);
}

}  // namespace

void teach(CLI::App& app) {
  app.formatter(std::make_shared<Help>());
  app.set_help_flag("-h,--help", "show this help");
  app.option_defaults()->always_capture_default();
  app.group("Commands");  // those that are added behind it
}

bool parse(CLI::App& app, std::vector<std::string> arguments) {
  if (arguments.empty()) arguments = {"--help"};
  if (arguments.front() == "help") {
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 wants them backwards
    return true;
  } catch (const CLI::CallForHelp&) {
    // A command that does not exist has none.
    const std::vector<std::string> left = app.remaining(/*recurse=*/true);
    if (!left.empty() && left.front()[0] != '-' && !commands_of(*called(app).app).empty())
      throw ConfigError(refusal(app, unknown_word(called(app), left.front())));
    fmt::print("{}", app.help());
    return false;
  } catch (const CLI::CallForVersion&) {
    fmt::print("colossal {}\n", kVersion);
    return false;
  } catch (const CLI::ParseError& error) {
    throw ConfigError(refusal(app, problem_of(app, error, arguments)));
  }
}

}  // namespace colossal::cli
