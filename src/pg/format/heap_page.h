// The tuples of a heap page, as far as their own headers tell about them.
//
// Sources: src/include/storage/bufpage.h, itemid.h, src/include/access/htup_details.h. The same from 13 to 18,
// little-endian.
//
//   tuple   offset size  field
//                0    4  xmin: the transaction that made it
//                4    4  xmax: the one that deleted, replaced or locked it
//               18    2  number of columns (11 bits), flags
//               20    2  infomask: hints of what became of the two
//               22    1  size of the header, behind which the columns are
//
// Pure, thread-safe.
#pragma once

#include <cstdint>
#include <functional>

#include "pg/format/page.h"

namespace pgstrata {

// What can be said of a tuple without asking which transactions committed.
enum class TupleLife {
  there,          // nothing deleted it; whether the transaction that made it committed may be open
  maybe_deleted,  // one that deletes or replaces it began; whether it committed is open
  dead,           // known to be deleted, replaced, or never to have been
};

struct HeapTuple {
  TupleLife life = TupleLife::there;
  ByteView columns;  // within the page
};

// Every tuple with a place of its own, in the order of the line pointers; those that make no sense are passed
// over.
void for_each_heap_tuple(PageView page, const std::function<void(const HeapTuple&)>& use);

}  // namespace pgstrata
