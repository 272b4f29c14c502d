set(ATLASCORE_TRACK_SIMILARITY_SOURCES
  wide_digest.cpp minhash.cpp sketch.cpp sketch_slot.cpp geometry.cpp outcome.cpp climb.cpp baseline.cpp baseline_table.cpp departures.cpp directions.cpp groups.cpp coverage.cpp coverage_reference.cpp recent.cpp
  answer.cpp manifold.cpp prompt_windows.cpp references.cpp scale_learning.cpp near_index.cpp)
set(ATLASCORE_TRACK_SIMILARITY_TESTS minhash_test.cpp sketch_test.cpp geometry_test.cpp departures_test.cpp baseline_test.cpp baseline_stress_test.cpp shapes_test.cpp coverage_test.cpp recent_test.cpp answer_test.cpp
  manifold_test.cpp prompt_windows_test.cpp references_test.cpp near_index_test.cpp
  similarity_stress_test.cpp)
