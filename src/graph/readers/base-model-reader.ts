// The contract of a base model's file layout: one file per layout in this folder, one row in
// reader-table.ts. A reader opens the parts; base-model.ts checks them against the graph.

import type { TensorStore } from '../../formats/tensor-store.ts'
import type { ChatTemplate } from '../../formats/text/chat-template.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import type { JsonObject } from '../models/read-config.ts'

/** The contents of a source, before they are checked against the graph of its config. */
export interface BaseModelParts {
  /** The model's configuration, in the form of config.json. */
  readonly config: JsonObject
  /** Tensors by Hugging Face name; the base model closes them. */
  readonly weights: TensorStore
  readonly tokenizer?: Tokenizer | undefined
  readonly chatTemplate?: ChatTemplate | undefined
  /** The content of generation_config.json. */
  readonly generation?: JsonObject | undefined
}

export interface BaseModelReader<Source> {
  /**
   * Opens the parts; weights are read later, one at a time. Closes what it has opened when it
   * throws: NotFoundError for a missing file, FormatError for a broken one, UnsupportedError for an
   * unknown architecture.
   */
  read(source: Source): Promise<BaseModelParts>
}
