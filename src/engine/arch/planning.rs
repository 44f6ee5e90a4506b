//! The plan of a session: the context that is asked for, or one that is usual and fits, on the adapter at hand.

use crate::error::{Error, Result};
use crate::gpu::Executor;
use crate::model::Model;

use super::fit::{self, Plan, Room};
use super::network::Network;
use super::step::Kind;
use crate::engine::load::options::{Choices, LoadOptions};

/// Where there is no room for what is usual, there are no fewer positions than these.
const LEAST_CONTEXT: u32 = 512;

/// Bytes of scratch that the recordings of generation take once they are lowered.
pub(in crate::engine) fn program_bytes(executor: &Executor, network: &Network, n_chunk: u32) -> u64 {
    let kinds = network.kinds(&Kind::capacities(n_chunk));
    kinds.into_iter().map(|kind| executor.scratch_bytes(&network.record(kind))).sum()
}

/// The context that is asked for, or else one that is usual and fits; then its plan, which has room.
pub(in crate::engine) fn make_plan(
    model: &Model,
    options: &LoadOptions,
    n_chunk: u32,
    room: Room,
    executor: &Executor,
    notices: &mut Vec<String>,
) -> Result<Plan> {
    let most = model.outline().context_length;
    let wanted = options.n_context.unwrap_or(most.min(options.n_usual));
    if wanted == 0 || wanted > most {
        let expected = format!("1 to {most}, the model's own");
        return Err(Error::usage("context", wanted.to_string()).expected(expected));
    }
    let mut choices = Choices { n_context: wanted, n_chunk, cache: options.cache };
    // What steps take for themselves is a matter of their tokens, not of the context.
    let draft = Plan::new(model, choices, room);
    let room = Room { program_bytes: program_bytes(executor, &draft.network, draft.n_chunk), ..room };
    if options.n_context.is_none()
        && let Some(fitting) =
            fit::longest_context(model, choices, room).filter(|n| (LEAST_CONTEXT..wanted).contains(n))
    {
        notices.push(format!("the context is {fitting} tokens: there is no room for {wanted}"));
        choices.n_context = fitting;
    }
    let plan = Plan::new(model, choices, room);
    fit::check(&plan, model, choices, room)?;
    Ok(plan)
}
