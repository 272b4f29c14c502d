// What the wording of prompts says: templates that many young principals share, and known probes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "atlascore/track/template_hash.hpp"
#include "atlascore/track/template_table.hpp"

namespace atlascore::engine {

// Prompts of one call that are looked at: those that enter the sequence (engine.hpp, sequence_rows).
inline constexpr std::size_t prompt_limit = 256;

struct Prompt {
    track::Outline outline;                            // where templates are read
    std::uint64_t hash;                                // of its template, as found so far
    std::uint64_t name;                                // the same, or that of a known template near it
    std::optional<track::TemplateTable::Found> found;  // that template
    std::optional<std::uint32_t> probe;                // the entry of the dictionary that it is
    bool duplicate;                                    // it was sent before
    bool allowed;                                      // its template is one that many may share
};

// Of a track's previous prompt: the template's hash, 0 for none or an allowed one, and the outline.
struct PromptBefore {
    std::uint64_t name;
    track::OutlineMarks marks;
};

}  // namespace atlascore::engine
