// The table of routes. A new route is a row here.

import { expertRoutes } from './api/experts/expert-routes.ts'
import {
  listAdaptersRoute,
  loadAdapterRoute,
  setScalesRoute,
  unloadAdapterRoute,
} from './api/llamacpp/adapter-routes.ts'
import { completionRoute } from './api/llamacpp/completion.ts'
import {
  applyTemplateRoute,
  healthRoute,
  propsRoute,
  slotsRoute,
} from './api/llamacpp/server-routes.ts'
import { ollamaAnswerRoutes } from './api/ollama/ollama-answers.ts'
import { embedRoute } from './api/ollama/ollama-embed.ts'
import { ollamaModelRoutes } from './api/ollama/ollama-models.ts'
import { messageRoutes } from './api/messages/message-routes.ts'
import { chatRoute } from './api/openai/chat.ts'
import { completionsRoute } from './api/openai/completions.ts'
import { embeddingsRoute } from './api/openai/embeddings.ts'
import { modelRoute, modelsRoute } from './api/openai/models.ts'
import { rerankRoutes } from './api/rerank/rerank-routes.ts'
import { responseRoutes } from './api/responses/response-routes.ts'
import { userRoutes } from './api/users/user-routes.ts'
import type { Route } from './route.ts'
import { loadLoraRoute, unloadLoraRoute } from './api/vllm/lora-routes.ts'
import { detokenizeRoute, tokenizeRoute, tokenizerInfoRoute } from './api/vllm/tokenize-routes.ts'

export const routes: readonly Route[] = [
  modelsRoute,
  modelRoute,
  chatRoute,
  completionsRoute,
  embeddingsRoute,
  ...rerankRoutes,
  ...responseRoutes,
  ...messageRoutes,
  ...ollamaAnswerRoutes,
  embedRoute,
  ...ollamaModelRoutes,
  ...expertRoutes,
  ...userRoutes,
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
