"""``tidings seed``: loads the demo world through the same commands that clients send."""

import time
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.progress_bars import Rate
from api.cli.running import begin, console, run
from api.demo.seeder import Report, Seeder
from api.demo.showcase import Showcase, build_showcase
from api.demo.world import DEMO_LOGINS, GRAPH_ACCOUNTS, build_world
from api.services import Services, open_services
from api.settings import Settings
from domain.context import Context

DEMO_PASSWORD: Final = "tidings-demo"  # noqa: S105 (of made-up people, and shown)


@dataclass(frozen=True, slots=True)
class Sizes:
    """``seed`` chooses the world: the same one gives the same people and posts, and loading it again changes nothing. ``showcase``: with some posts besides
    those that are counted, which show what else a post can be."""

    accounts: int = 300
    posts: int = 600
    likes: int = 3_000
    reposts: int = 300
    seed: int = 1
    showcase: bool = False


DEFAULTS: Final = Sizes()


def seed(
    accounts: Annotated[
        int, typer.Option(min=DEMO_LOGINS, max=GRAPH_ACCOUNTS, help="People, with the friendships among them.")
    ] = DEFAULTS.accounts,
    posts: Annotated[int, typer.Option(min=0, help="Posts and replies.")] = DEFAULTS.posts,
    likes: Annotated[int, typer.Option(min=0, help="Likes.")] = DEFAULTS.likes,
    reposts: Annotated[int, typer.Option(min=0, help="Reposts.")] = DEFAULTS.reposts,
    seed: Annotated[int, typer.Option(help="Chooses the world.")] = DEFAULTS.seed,
    showcase: Annotated[
        bool,
        typer.Option(
            "--showcase", help="Besides all that: quotes, pictures, warnings, edits, a long thread, bookmarks and pins."
        ),
    ] = DEFAULTS.showcase,
) -> None:
    """Load a demo world. Safe to break off and to repeat: what is there already changes nothing, and what somebody has undone is done again."""
    run(_seed(begin(), Sizes(accounts, posts, likes, reposts, seed, showcase)))


async def _seed(settings: Settings, sizes: Sizes) -> None:
    async with open_services(settings) as services:
        began = time.monotonic()
        report = await load_demo(services, sizes)
    rate = report.answered.total() / (time.monotonic() - began)
    console.print(
        f"{report.changed.total():,} of {report.answered.total():,} commands changed something ({rate:,.0f} a second)."
    )
    if report.refused.total():
        console.print(
            f"{report.refused.total():,} were refused, for what people here have blocked, deleted or filled up, or for a world of another size."
        )
    console.print(f"Sign in as {' or '.join(demo_handles())} (password: {DEMO_PASSWORD}).")


async def load_demo(services: Services, sizes: Sizes, *, once: bool = False) -> Report:
    """``once``: see Seeder.run."""
    world = build_world(
        accounts=sizes.accounts, posts=sizes.posts, likes=sizes.likes, reposts=sizes.reposts, seed=sizes.seed
    )
    showcase = build_showcase(world) if sizes.showcase else Showcase()
    context = Context(
        namer=services.namer, entropy=services.entropy, now=services.now(), command_id="", limits=services.limits
    )
    password_hash = await services.passwords.hash(DEMO_PASSWORD)
    columns = (
        TextColumn("Loading {task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("accounts", total=world.size + showcase.size)
        # The seeder counts each phase from one; the bar goes through all of them.
        seeder = Seeder(
            services.log,
            context,
            world,
            seed=sizes.seed,
            password_hash=password_hash,
            progress=lambda phase, _: bar.update(task, description=phase, advance=1),
            showcase=showcase,
        )
        return await seeder.run(once=once)


def demo_handles() -> list[str]:
    """The demo people who can sign in."""
    return [account.handle for account in build_world(accounts=DEMO_LOGINS, posts=0, likes=0, reposts=0).accounts]
