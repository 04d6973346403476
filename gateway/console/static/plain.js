// A page that shows nothing live but the gateway's own state.

import { listen } from "./stream.js";

listen({}, { rests: true });
