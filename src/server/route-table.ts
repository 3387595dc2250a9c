// The table of routes. A new route is a row here.

import { expertRoutes } from './experts/expert-routes.ts'
import {
  listAdaptersRoute,
  loadAdapterRoute,
  setScalesRoute,
  unloadAdapterRoute,
} from './llamacpp/adapter-routes.ts'
import { completionRoute } from './llamacpp/completion.ts'
import {
  applyTemplateRoute,
  healthRoute,
  propsRoute,
  slotsRoute,
} from './llamacpp/server-routes.ts'
import { chatRoute } from './openai/chat.ts'
import { completionsRoute } from './openai/completions.ts'
import { embeddingsRoute } from './openai/embeddings.ts'
import { modelRoute, modelsRoute } from './openai/models.ts'
import type { Route } from './route.ts'
import { loadLoraRoute, unloadLoraRoute } from './vllm/lora-routes.ts'
import { detokenizeRoute, tokenizeRoute, tokenizerInfoRoute } from './vllm/tokenize-routes.ts'

export const routes: readonly Route[] = [
  modelsRoute,
  modelRoute,
  chatRoute,
  completionsRoute,
  embeddingsRoute,
  ...expertRoutes,
  loadLoraRoute,
  unloadLoraRoute,
  tokenizeRoute,
  detokenizeRoute,
  tokenizerInfoRoute,
  healthRoute,
  propsRoute,
  slotsRoute,
  completionRoute,
  applyTemplateRoute,
  listAdaptersRoute,
  setScalesRoute,
  loadAdapterRoute,
  unloadAdapterRoute,
]
